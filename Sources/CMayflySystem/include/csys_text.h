// Characters as a terminal has them.
#ifndef CSYS_TEXT_H
#define CSYS_TEXT_H

#include <stdint.h>

// Whether a character of Unicode can be printed, as ls(1) sees it in C.UTF-8: iswprint(3).
int csys_is_printable(uint32_t character);

#endif
