package stage

// machine is EM_RISCV.
const machine = 243
