// The kernel's side of FUSE: wire ABI and the shims that Swift cannot express.
#ifndef CFUSEKERNEL_H
#define CFUSEKERNEL_H
#include "cfk_abi.h"
#include "cfk_mounts.h"
#include "cfk_shims.h"
#endif
