#include "cmem_text.h"

#include <locale.h>
#include <stddef.h>
#include <wctype.h>

int cmem_is_printable(uint32_t character) {
    static locale_t utf8;
    if (!utf8) {
        locale_t made = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
        // Where there is no such locale, no more is known than what controls a terminal.
        if (!made) return character >= 0xA0;
        // Of several at once each is as good, and one is lost.
        utf8 = made;
    }
    return iswprint_l((wint_t)character, utf8) != 0;
}
