package early

// restorerFlag is unset: the kernel's own return is used.
const restorerFlag = 0
