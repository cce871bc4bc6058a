// Nothing but inline functions: see include/CMemory.h.
#include "CMemory.h"
