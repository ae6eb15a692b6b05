package early

// restorerFlag says that a restorer is given: this machine has no other.
const restorerFlag = 0x04000000 // SA_RESTORER
