// libcurl is not linked: it brings some thirty libraries with it, which a mount would wait for.
#define CURL_DISABLE_TYPECHECK 1
#include "ccurl.h"

#include "csys_library.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUNCTIONS(each) \
    each(curl_global_init) \
    each(curl_easy_init) \
    each(curl_easy_cleanup) \
    each(curl_easy_reset) \
    each(curl_easy_setopt) \
    each(curl_easy_perform) \
    each(curl_easy_getinfo) \
    each(curl_easy_strerror) \
    each(curl_slist_append) \
    each(curl_slist_free_all) \
    each(curl_url) \
    each(curl_url_cleanup) \
    each(curl_url_set) \
    each(curl_url_get) \
    each(curl_free)

// The functions of libcurl, by their names. Only after ccurl_load.
static struct {
#define FIELD(name) __typeof__(name) *name;
    FUNCTIONS(FIELD)
#undef FIELD
} curl;

struct ccurl_session {
    CURL *easy;
    char error[CURL_ERROR_SIZE];
};

const char *ccurl_load(void) {
    static bool is_loaded;
    static char why[512];
    if (is_loaded) return NULL;
    // The flavours of OpenSSL and of GnuTLS have the same functions.
    static const char *const files[] = {"libcurl.so.4", "libcurl-gnutls.so.4", NULL};
    static const char *const names[] = {FUNCTIONS(CSYS_FUNCTION_NAME) NULL};
    if (csys_load_library(files, names, &curl, why, sizeof why) != 0) return why;
    if (curl.curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) return "it cannot be initialized";
    is_loaded = true;
    return NULL;
}

struct ccurl_session *ccurl_make(void) {
    struct ccurl_session *session = calloc(1, sizeof *session);
    if (!session) return NULL;
    session->easy = curl.curl_easy_init();
    if (session->easy) return session;
    free(session);
    return NULL;
}

void ccurl_free(struct ccurl_session *session) {
    if (!session) return;
    curl.curl_easy_cleanup(session->easy);
    free(session);
}

static size_t take(char *bytes, size_t size, size_t count, void *context) {
    const struct ccurl_request *request = context;
    if (!request->take) return size * count;
    return request->take(request->context, bytes, size * count) ? size * count : 0;
}

static size_t head(char *bytes, size_t size, size_t count, void *context) {
    const struct ccurl_request *request = context;
    if (request->head) request->head(request->context, bytes, size * count);
    return size * count;
}

static int go_on(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d) {
    (void)a, (void)b, (void)c, (void)d;
    const struct ccurl_request *request = context;
    return request->go_on && !request->go_on(request->context);
}

static enum ccurl_outcome outcome(CURLcode code) {
    switch (code) {
    case CURLE_OK: return CCURL_DONE;
    case CURLE_WRITE_ERROR:
    case CURLE_ABORTED_BY_CALLBACK: return CCURL_STOPPED;
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT: return CCURL_UNREACHABLE;
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM: return CCURL_BROKEN;
    case CURLE_SSL_CONNECT_ERROR: return CCURL_NOT_TLS;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR: return CCURL_UNTRUSTED;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT: return CCURL_REFUSED;
    default: return CCURL_FAILED;
    }
}

struct ccurl_answer ccurl_perform(struct ccurl_session *session, const struct ccurl_request *request) {
    struct ccurl_answer answer = {.outcome = CCURL_FAILED};
    CURL *easy = session->easy;
    curl.curl_easy_reset(easy);
    struct curl_slist *lines = NULL;
    for (size_t i = 0; i < request->header_count; i++) {
        struct curl_slist *longer = curl.curl_slist_append(lines, request->headers[i]);
        if (!longer) {
            curl.curl_slist_free_all(lines);
            snprintf(answer.reason, sizeof answer.reason, "no memory");
            return answer;
        }
        lines = longer;
    }
    session->error[0] = 0;
#define SET(option, value) curl.curl_easy_setopt(easy, option, value)
    SET(CURLOPT_ERRORBUFFER, session->error);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_HTTPHEADER, lines);
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROTOCOLS_STR, request->is_plain_allowed ? "http,https" : "https");
    SET(CURLOPT_CONNECTTIMEOUT, request->patience);
    SET(CURLOPT_LOW_SPEED_LIMIT, 1L);
    SET(CURLOPT_LOW_SPEED_TIME, request->patience);
    SET(CURLOPT_WRITEFUNCTION, take);
    SET(CURLOPT_WRITEDATA, (void *)request);
    SET(CURLOPT_HEADERFUNCTION, head);
    SET(CURLOPT_HEADERDATA, (void *)request);
    SET(CURLOPT_NOPROGRESS, 0L);
    SET(CURLOPT_XFERINFOFUNCTION, go_on);
    SET(CURLOPT_XFERINFODATA, (void *)request);
    SET(CURLOPT_BUFFERSIZE, 256L << 10);
    SET(CURLOPT_UPLOAD_BUFFERSIZE, 256L << 10);
    SET(CURLOPT_TCP_NODELAY, 1L);
    if (request->avoids_proxies) SET(CURLOPT_PROXY, "");
    if (request->authorities) SET(CURLOPT_CAINFO, request->authorities);
    switch (request->method) {
    case CCURL_GET: SET(CURLOPT_HTTPGET, 1L); break;
    case CCURL_HEAD: SET(CURLOPT_NOBODY, 1L); break;
    case CCURL_PUT: SET(CURLOPT_CUSTOMREQUEST, "PUT"); __attribute__((fallthrough));
    case CCURL_POST:
        SET(CURLOPT_POST, 1L);
        SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_bytes);
        SET(CURLOPT_POSTFIELDS, request->body ? request->body : "");
        break;
    }
    CURLcode code = curl.curl_easy_perform(easy);
    curl.curl_slist_free_all(lines);
    answer.outcome = outcome(code);
    curl_off_t up = 0, down = 0, after = 0;
    curl.curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &answer.status);
    curl.curl_easy_getinfo(easy, CURLINFO_RETRY_AFTER, &after);
    curl.curl_easy_getinfo(easy, CURLINFO_SIZE_UPLOAD_T, &up);
    curl.curl_easy_getinfo(easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
    answer.retry_after = after > 0 ? after : 0;
    answer.sent = up;
    answer.received = down;
    if (code != CURLE_OK)
        snprintf(answer.reason, sizeof answer.reason, "%s",
                 session->error[0] ? session->error : curl.curl_easy_strerror(code));
    return answer;
}

bool ccurl_resolve(const char *base, const char *location, char *target, size_t capacity) {
    CURLU *url = curl.curl_url();
    char *text = NULL;
    bool is_done = url && curl.curl_url_set(url, CURLUPART_URL, base, 0) == CURLUE_OK
                   && curl.curl_url_set(url, CURLUPART_URL, location, 0) == CURLUE_OK
                   && curl.curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK
                   && strlen(text) < capacity;
    if (is_done) memcpy(target, text, strlen(text) + 1);
    curl.curl_free(text);
    curl.curl_url_cleanup(url);
    return is_done;
}

bool ccurl_origin(const char *text, char *target, size_t capacity) {
    CURLU *url = curl.curl_url();
    char *scheme = NULL, *host = NULL, *port = NULL;
    bool is_done = url && curl.curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK
                   && curl.curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK
                   && curl.curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK
                   && curl.curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK
                   && (size_t)snprintf(target, capacity, "%s://%s:%s", scheme, host, port) < capacity;
    curl.curl_free(scheme);
    curl.curl_free(host);
    curl.curl_free(port);
    curl.curl_url_cleanup(url);
    return is_done;
}
