// Characters as a terminal has them.
#ifndef CMEM_TEXT_H
#define CMEM_TEXT_H

#include <stdint.h>

// Whether a character of Unicode can be printed, as ls(1) sees it in C.UTF-8: iswprint(3).
int cmem_is_printable(uint32_t character);

#endif
