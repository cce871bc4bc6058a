// Nothing but inline functions: see include/CMayflyMemory.h.
#include "CMayflyMemory.h"
