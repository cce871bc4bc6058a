// Compiles the ABI once, so that its assertions hold on this machine.
#include "CFuseKernel.h"
