// The kernel's side of FUSE: the wire ABI.
#ifndef CFUSEKERNEL_H
#define CFUSEKERNEL_H
#include "cfk_abi.h"
#endif
