// HTTP by libcurl, which is loaded when the first request is made and not before.
#ifndef CCURL_H
#define CCURL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Loads libcurl. Returns NULL, or what dlopen(3) says of it. Not to be called by two threads at once.
const char *ccurl_load(void);

// What one thread makes requests with: it keeps connections open. NULL without memory.
// Only after ccurl_load.
struct ccurl_session;
struct ccurl_session *ccurl_make(void);
void ccurl_free(struct ccurl_session *session);

enum ccurl_method { CCURL_GET, CCURL_HEAD, CCURL_POST, CCURL_PUT };

struct ccurl_request {
    enum ccurl_method method;
    const char *url;
    // Lines such as "Accept: text/plain".
    const char *const *headers;
    size_t header_count;
    // What is sent with POST and PUT.
    const void *body;
    size_t body_bytes;
    // A file with certificates of authorities that are trusted beside the system's; or NULL.
    const char *authorities;
    bool is_plain_allowed;
    bool avoids_proxies;
    // Seconds without a byte after which the request has failed, and seconds until there is a connection.
    long patience;
    // Given to both of these.
    void *context;
    // What comes, piece by piece; false ends the request.
    bool (*take)(void *context, const void *bytes, size_t count);
    // A line of the head of the answer.
    void (*head)(void *context, const char *line, size_t count);
    // Asked about once a second, and more often while bytes come; false ends the request.
    bool (*go_on)(void *context);
};

enum ccurl_outcome {
    CCURL_DONE,
    CCURL_STOPPED,     // take or go_on said so
    CCURL_UNREACHABLE, // no name, no connection, no proxy
    CCURL_BROKEN,      // a connection that ended or went silent
    CCURL_NOT_TLS,     // the other side speaks something else
    CCURL_UNTRUSTED,   // its certificate is not one that is trusted
    CCURL_REFUSED,     // a scheme that is not allowed, a URL that is none
    CCURL_FAILED       // anything else
};

struct ccurl_answer {
    enum ccurl_outcome outcome;
    long status;
    // Seconds that Retry-After names, or 0.
    int64_t retry_after;
    // Bytes of bodies, each way.
    int64_t sent, received;
    char reason[256];
};

// Makes one request. Redirections are not followed.
struct ccurl_answer ccurl_perform(struct ccurl_session *session, const struct ccurl_request *request);

// A URL that another one leads to, such as the value of Location. Returns false where that is none, or is
// longer than capacity.
bool ccurl_resolve(const char *base, const char *location, char *target, size_t capacity);

// Scheme, host and port of a URL, as "https://host:443". Returns false for what is none.
bool ccurl_origin(const char *url, char *target, size_t capacity);

#endif
