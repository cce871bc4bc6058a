#include "csys_text.h"

#include <locale.h>
#include <stdatomic.h>
#include <stddef.h>
#include <wctype.h>

int csys_is_printable(uint32_t character) {
    static _Atomic(locale_t) known;
    locale_t utf8 = atomic_load(&known);
    if (!utf8) {
        utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
        // Where there is no such locale, no more is known than what controls a terminal.
        if (!utf8) return character >= 0xA0;
        // Of two at once the later stays, and either is as good.
        atomic_store(&known, utf8);
    }
    return iswprint_l((wint_t)character, utf8) != 0;
}
