/* Heads as headers.py and heads.py have them, for the usual ones: read in one pass and made anew in one piece, their access line's beginning
 * along with it. Optional: Python does it all where this was not compiled (compiled.py).
 *
 * Whoever is in doubt asks Python: a function here returns None for whatever it does not take for plain, whole and valid (faults too),
 * and Python does it again. So no verdict and no word of a refusal stands here; what is taken must be a part of what Python takes,
 * with the same result, which tests/router/test_router_compiled.py asks for.
 *
 * Memory: the reader looks at the bytes between `at` and `end` of one immutable bytes object, and compares with `end` before each look. A
 * maker adds up the sizes of its pieces, allocates once, copies. Nothing here outlives a call.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <string.h>

typedef const unsigned char *Bytes;
typedef struct { Bytes at; Py_ssize_t size; } Span;

enum { VERSION = 5, LINE = 8192, NAME = 1000, BODY = 16384, COUNT = 1000, DIGITS = 18, RUNS = 16, PIECES = 40, LONGEST = 19 };
enum { CHUNKED = -1, NOT_SAID = -3 }; /* in place of a length: headers.CHUNKED, None */
enum { TOKEN = 1, VALUE = 2, TARGET = 4, ID = 8, DIGIT = 16, LOGGED = 32 };
static unsigned char kinds[256];

static void fill_kinds(void)
{
    for (int c = 0; c < 256; c++) {
        int letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'), digit = c >= '0' && c <= '9';
        if (letter || digit || (c && strchr("!#$%&'*+-.^_`|~", c)))
            kinds[c] |= TOKEN;
        if (c == '\t' || (c >= ' ' && c != 127))
            kinds[c] |= VALUE;
        if (c > ' ' && c < 127 && c != '#')
            kinds[c] |= TARGET;
        if (letter || digit || (c && strchr("+/=-", c)))
            kinds[c] |= ID;
        if (digit)
            kinds[c] |= DIGIT;
        if (c >= ' ' && c < 127 && c != '"' && c != '%')
            kinds[c] |= LOGGED;
    }
}

static int only(Span span, int kind)
{
    for (Py_ssize_t i = 0; i < span.size; i++)
        if (!(kinds[span.at[i]] & kind))
            return 0;
    return 1;
}

static int same(Span span, const char *text) { return span.size == (Py_ssize_t)strlen(text) && !memcmp(span.at, text, (size_t)span.size); }

/* Compare without regard to case; `name` is in lower case and has as many letters. */
static int is_name(Span span, const char *name)
{
    for (Py_ssize_t i = 0; i < span.size; i++) {
        unsigned char c = span.at[i];
        if ((c >= 'A' && c <= 'Z' ? c | 32 : c) != (unsigned char)name[i])
            return 0;
    }
    return 1;
}

static int is(Span span, const char *word) { return span.size == (Py_ssize_t)strlen(word) && is_name(span, word); }

/* -- what is read ------------------------------------------------------------------------------------------------------------------ */

/* One head, as places in the bytes it came in. `runs` are the lines that stay, each led by its CRLF; a span without `at` was not there. */
typedef struct {
    Span method, target, host, chain, id; /* a request's */
    Span start;                           /* a response's first line */
    Span via, body, runs[RUNS];
    long long length;
    int status, keep_alive, has_server, count;
} Head;

/* headers.REQUEST_RULES and RESPONSE_RULES, as far as they go without doubts; in order of size. */
typedef enum { REQUEST, RESPONSE } Way;
enum { KEEP, CUT, ASK, VIA, LENGTH, CODING, CONNECTION, HOST, CHAIN, THE_ID, SERVER };
static const struct { const char *name; unsigned char rule[2]; } rules[] = {
    {"te", {CUT, KEEP}},
    {"via", {VIA, VIA}},
    {"host", {HOST, KEEP}},
    {"expect", {ASK, KEEP}},
    {"server", {KEEP, SERVER}},
    {"upgrade", {ASK, ASK}},
    {"connection", {CONNECTION, CONNECTION}},
    {"keep-alive", {CUT, CUT}},
    {"x-request-id", {THE_ID, KEEP}},
    {"content-length", {LENGTH, LENGTH}},
    {"x-forwarded-for", {CHAIN, KEEP}},
    {"x-request-start", {CUT, KEEP}},
    {"x-forwarded-port", {CUT, KEEP}},
    {"transfer-encoding", {CODING, CODING}},
    {"x-forwarded-proto", {CUT, KEEP}},
    {"proxy-authorization", {CUT, KEEP}},
};
enum { KNOWN = sizeof rules / sizeof *rules };
static int first_of[LONGEST + 2]; /* by size: where its rules begin */

static void fill_first_of(void)
{
    for (int size = 0, at = 0; size < LONGEST + 2; size++) {
        while (at < KNOWN && (int)strlen(rules[at].name) < size)
            at++;
        first_of[size] = at;
    }
}

static int rule_of(Span name, Way way)
{
    if (name.size <= LONGEST)
        for (int i = first_of[name.size]; i < first_of[name.size + 1]; i++)
            if (is_name(name, rules[i].name))
                return rules[i].rule[way];
    return KEEP;
}

/* A header that is there once at most, and is made anew. */
static int once(Span *place, Span value)
{
    if (place->at != NULL)
        return ASK;
    *place = value;
    return CUT;
}

static int length_rule(Head *head, Span value)
{
    if (head->length != NOT_SAID || value.size == 0 || value.size > DIGITS || !only(value, DIGIT))
        return ASK;
    head->length = 0;
    for (Py_ssize_t i = 0; i < value.size; i++)
        head->length = head->length * 10 + (value.at[i] - '0');
    return KEEP;
}

/* Look at a line, and say whether it is to be kept or cut, or whether Python is to be asked. */
static int look_at(Head *head, int rule, Span value)
{
    switch (rule) {
    case VIA:
        return once(&head->via, value);
    case LENGTH:
        return length_rule(head, value);
    case CODING:
        if (head->length != NOT_SAID || !is(value, "chunked"))
            return ASK;
        head->length = CHUNKED;
        return CUT;
    case CONNECTION:
        if (is(value, "close"))
            head->keep_alive = 0;
        else if (!is(value, "keep-alive"))
            return ASK;
        return CUT;
    case HOST:
        return value.size == 0 || once(&head->host, value) == ASK ? ASK : KEEP;
    case CHAIN:
        return once(&head->chain, value);
    case THE_ID:
        if (head->id.at == NULL && value.size >= 20 && value.size <= 200 && only(value, ID))
            head->id = value;
        return CUT;
    case SERVER:
        head->has_server = 1;
        return KEEP;
    default:
        return rule;
    }
}

/* Read lines up to the empty one, from behind the first CRLF; -1: ask Python. */
static int read_lines(Head *head, Bytes at, Bytes end, Way way)
{
    Bytes run = at - 2;
    for (int count = 0;; count++) {
        Bytes line = at;
        if (end - at >= 2 && at[0] == '\r' && at[1] == '\n')
            break;
        if (count == COUNT)
            return -1;
        while (at < end && kinds[*at] & TOKEN)
            at++;
        Span name = {line, at - line}, value;
        if (name.size == 0 || name.size > NAME || at == end || *at != ':')
            return -1;
        at++;
        while (at < end && (*at == ' ' || *at == '\t'))
            at++;
        value.at = at;
        while (at < end && kinds[*at] & VALUE)
            at++;
        if (end - at < 2 || at[0] != '\r' || at[1] != '\n' || at - line > LINE)
            return -1;
        for (value.size = at - value.at; value.size > 0; value.size--)
            if (value.at[value.size - 1] != ' ' && value.at[value.size - 1] != '\t')
                break;
        int rule = rule_of(name, way), what = rule == KEEP ? KEEP : look_at(head, rule, value);
        if (what == ASK || (what == CUT && head->count == RUNS - 1))
            return -1;
        if (what == CUT) {
            head->runs[head->count++] = (Span){run, line - 2 - run};
            run = at;
        }
        at += 2;
    }
    head->runs[head->count++] = (Span){run, at - 2 - run};
    head->body = (Span){at + 2, end - at - 2};
    return 0;
}

/* `METHOD /target HTTP/1.1`: where the lines begin, NULL: ask Python. Of methods only those that httptools surely knows. */
static Bytes request_line(Head *head, Bytes at, Bytes end)
{
    Bytes first = at;
    while (at < end && *at >= 'A' && *at <= 'Z')
        at++;
    head->method = (Span){first, at - first};
    if (!(same(head->method, "GET") || same(head->method, "POST") || same(head->method, "HEAD") || same(head->method, "PUT")
          || same(head->method, "PATCH") || same(head->method, "DELETE") || same(head->method, "OPTIONS"))
        || end - at < 2 || at[0] != ' ' || at[1] != '/')
        return NULL;
    head->target.at = ++at;
    while (at < end && kinds[*at] & TARGET)
        at++;
    head->target.size = at - head->target.at;
    return end - at < 11 || memcmp(at, " HTTP/1.1\r\n", 11) || at + 9 - first > LINE ? NULL : at + 11;
}

/* `HTTP/1.1 200 words`, a final status: likewise. */
static Bytes status_line(Head *head, Bytes at, Bytes end)
{
    Bytes first = at;
    if (end - at < 15 || memcmp(at, "HTTP/1.1 ", 9) || at[9] < '2' || at[9] > '5' || !(kinds[at[10]] & DIGIT) || !(kinds[at[11]] & DIGIT)
        || at[12] != ' ')
        return NULL;
    head->status = (at[9] - '0') * 100 + (at[10] - '0') * 10 + (at[11] - '0');
    for (at += 13; at < end && *at >= ' ' && *at < 127;)
        at++;
    head->start = (Span){first, at - first};
    return end - at < 2 || at[0] != '\r' || at[1] != '\n' || head->start.size > LINE ? NULL : at + 2;
}

/* Read the head that these bytes begin with; `body` is what is behind it; -1: ask Python. */
static int read_head(PyObject *data, Head *head, Way way)
{
    if (!PyBytes_CheckExact(data))
        return -1;
    Bytes at = (Bytes)PyBytes_AS_STRING(data), end = at + PyBytes_GET_SIZE(data);
    *head = (Head){.length = NOT_SAID, .keep_alive = 1};
    at = way == REQUEST ? request_line(head, at, end) : status_line(head, at, end);
    if (at == NULL || read_lines(head, at, end, way))
        return -1;
    return way == REQUEST && head->host.at == NULL ? -1 : 0;
}

/* -- what is made ------------------------------------------------------------------------------------------------------------------ */

typedef struct { Span spans[PIECES]; int count; Py_ssize_t size; } Pieces;

static void add(Pieces *pieces, Span span)
{
    if (pieces->count < PIECES && pieces->size >= 0 && span.size <= PY_SSIZE_T_MAX - pieces->size) {
        pieces->spans[pieces->count++] = span;
        pieces->size += span.size;
    } else
        pieces->size = -1; /* nobody adds so many */
}

static void add_text(Pieces *pieces, const char *text) { add(pieces, (Span){(Bytes)text, (Py_ssize_t)strlen(text)}); }

static void add_runs(Pieces *pieces, const Head *head)
{
    for (int i = 0; i < head->count; i++)
        add(pieces, head->runs[i]);
}

static void add_via(Pieces *pieces, Span via)
{
    add_text(pieces, "\r\nVia: ");
    if (via.size > 0) {
        add(pieces, via);
        add_text(pieces, ", ");
    }
    add_text(pieces, "1.1 heroku-router\r\n");
}

static void fill_in(const Pieces *pieces, void *room)
{
    char *to = room;
    for (int i = 0; i < pieces->count; i++) {
        memcpy(to, pieces->spans[i].at, (size_t)pieces->spans[i].size);
        to += pieces->spans[i].size;
    }
}

static PyObject *joined(const Pieces *pieces)
{
    PyObject *made = pieces->size < 0 ? PyErr_NoMemory() : PyBytes_FromStringAndSize(NULL, pieces->size);
    if (made != NULL)
        fill_in(pieces, PyBytes_AS_STRING(made));
    return made;
}

/* The same as text, of pieces that are ASCII. */
static PyObject *joined_text(const Pieces *pieces)
{
    PyObject *made = pieces->size < 0 ? PyErr_NoMemory() : PyUnicode_New(pieces->size, 127);
    if (made != NULL)
        fill_in(pieces, PyUnicode_1BYTE_DATA(made));
    return made;
}

/* -- for Python -------------------------------------------------------------------------------------------------------------------- */

static Span span_of(PyObject *bytes) { return (Span){(Bytes)PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes)}; }

static PyObject *bytes_of(Span span) { return PyBytes_FromStringAndSize((const char *)span.at, span.size); }

static PyObject *lines_of(const Head *head)
{
    Pieces pieces = {.count = 0};
    add_runs(&pieces, head);
    return joined(&pieces);
}

static PyObject *length_of(const Head *head) { return head->length == NOT_SAID ? Py_NewRef(Py_None) : PyLong_FromLongLong(head->length); }

/* Make a tuple of new references; one that is NULL is an error that is on its way. */
static PyObject *tuple_of(PyObject *const *items, Py_ssize_t count)
{
    PyObject *made = PyTuple_New(count);
    int whole = made != NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        whole = whole && items[i] != NULL;
        if (made != NULL)
            PyTuple_SET_ITEM(made, i, items[i]);
        else
            Py_XDECREF(items[i]);
    }
    if (!whole)
        Py_CLEAR(made);
    return made;
}
#define TUPLE(...) tuple_of((PyObject *const[]){__VA_ARGS__}, sizeof((PyObject *[]){__VA_ARGS__}) / sizeof(PyObject *))

static PyObject *read_request(PyObject *module, PyObject *data)
{
    Head head;
    if (read_head(data, &head, REQUEST) || head.body.size)
        Py_RETURN_NONE;
    return TUPLE(bytes_of(head.method), bytes_of(head.target), lines_of(&head), bytes_of(head.host), length_of(&head),
                 PyBool_FromLong(head.keep_alive), bytes_of(head.via), bytes_of(head.chain), bytes_of(head.id));
}

static PyObject *read_response(PyObject *module, PyObject *data)
{
    Head head;
    if (read_head(data, &head, RESPONSE))
        Py_RETURN_NONE;
    return TUPLE(PyLong_FromLong(head.status), bytes_of(head.start), PyLong_FromSsize_t(PyBytes_GET_SIZE(data) - head.body.size),
                 lines_of(&head), length_of(&head), PyBool_FromLong(head.keep_alive), bytes_of(head.via), PyBool_FromLong(head.has_server));
}

static const char LEAD[] = "\r\nX-Forwarded-For: "; /* how an origin begins: headers.origin_lines */
enum { LEADS = sizeof LEAD - 1, HOST_OF = 1 /* table.Site.host */ };

/* headers.dyno_head of a head without upgrade, and what came of its body. */
static PyObject *head_made(const Head *head, Span origin, Span id, Span start)
{
    Pieces pieces = {.count = 0};
    add(&pieces, head->method);
    add_text(&pieces, " ");
    add(&pieces, head->target);
    add_text(&pieces, " HTTP/1.1");
    add_runs(&pieces, head);
    add_text(&pieces, "\r\nX-Request-Id: ");
    add(&pieces, id);
    add(&pieces, (Span){origin.at, LEADS});
    if (head->chain.size > 0) {
        add(&pieces, head->chain);
        add_text(&pieces, ", ");
    }
    add(&pieces, (Span){origin.at + LEADS, origin.size - LEADS});
    add_via(&pieces, head->via);
    add_text(&pieces, "X-Request-Start: ");
    add(&pieces, start);
    add_text(&pieces, "\r\n\r\n");
    add(&pieces, head->body);
    return joined(&pieces);
}

/* access_line.words of it, None if there is a word in it that does not stand in a line as it is. */
static PyObject *words_made(const Head *head, Span origin, Span id, PyObject *host)
{
    Span peer = {origin.at + LEADS, 0}, name = {NULL, 0};
    while (peer.size < origin.size - LEADS && peer.at[peer.size] != '\r')
        peer.size++;
    if (PyUnicode_CheckExact(host) && PyUnicode_IS_COMPACT_ASCII(host))
        name = (Span){PyUnicode_1BYTE_DATA(host), PyUnicode_GET_LENGTH(host)};
    if (name.at == NULL || !only(head->target, LOGGED) || !only(name, LOGGED) || !only(id, LOGGED) || !only(head->chain, LOGGED)
        || !only(peer, LOGGED))
        Py_RETURN_NONE;
    Pieces pieces = {.count = 0};
    add_text(&pieces, "method=");
    add(&pieces, head->method);
    add_text(&pieces, " path=\"");
    add(&pieces, head->target);
    add_text(&pieces, "\" host=");
    add(&pieces, name);
    add_text(&pieces, " request_id=");
    add(&pieces, id);
    add_text(&pieces, " fwd=\"");
    if (head->chain.size > 0) {
        add(&pieces, head->chain);
        add_text(&pieces, ", ");
    }
    add(&pieces, peer);
    add_text(&pieces, "\"");
    return joined_text(&pieces);
}

/* The usual request: a plain head (of no HEAD), for a host that was found before, with nothing, a part or all of a body whose length it says,
 * and no more than BODY of it, since it is kept as long as the request. What is needed of it from now on. */
static PyObject *forward(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    Head head;
    if (count != 5 || !PyDict_CheckExact(args[1]) || !PyBytes_CheckExact(args[2]) || !PyIter_Check(args[3]) || !PyBytes_CheckExact(args[4])
        || PyBytes_GET_SIZE(args[2]) < LEADS || memcmp(PyBytes_AS_STRING(args[2]), LEAD, LEADS)) {
        PyErr_SetString(PyExc_TypeError, "a head, sites by host, origin, request ids and the time are needed");
        return NULL;
    }
    if (read_head(args[0], &head, REQUEST) || head.length == CHUNKED || same(head.method, "HEAD") || head.body.size > BODY)
        Py_RETURN_NONE;
    long long left = (head.length == NOT_SAID ? 0 : head.length) - head.body.size;
    if (left < 0) /* the next request is behind it */
        Py_RETURN_NONE;
    PyObject *host = bytes_of(head.host), *site = host == NULL ? NULL : PyDict_GetItemWithError(args[1], host);
    if (site == NULL || !PyTuple_Check(site) || PyTuple_GET_SIZE(site) <= HOST_OF) {
        Py_XDECREF(host);
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    Py_INCREF(site);
    PyObject *id = head.id.at == NULL ? PyIter_Next(args[3]) : bytes_of(head.id), *made = NULL, *words = NULL;
    if (id != NULL && PyBytes_CheckExact(id)) {
        made = head_made(&head, span_of(args[2]), span_of(id), span_of(args[4]));
        words = words_made(&head, span_of(args[2]), span_of(id), PyTuple_GET_ITEM(site, HOST_OF));
    } else if (!PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "request ids are bytes, and have no end");
    return TUPLE(site, id, host, made, words, PyBool_FromLong(head.keep_alive), PyLong_FromSsize_t(head.body.size), PyLong_FromLongLong(left));
}

/* The usual answer: a plain head and its body or the beginning of it, and no more. Gives what the client gets, status, whether the dyno keeps
 * its connection, how much is to come; `keep` is whether the client's stays, `line` one more for the head. */
static PyObject *answer(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    Head head;
    Pieces pieces = {.count = 0};
    if (count != 3 || !PyBytes_CheckExact(args[2])) {
        PyErr_SetString(PyExc_TypeError, "an answer, whether to keep and a line are needed");
        return NULL;
    }
    if (read_head(args[0], &head, RESPONSE) || head.length < head.body.size || head.status == 204 || head.status == 304)
        Py_RETURN_NONE;
    add(&pieces, head.start);
    add_runs(&pieces, &head);
    add_text(&pieces, args[1] == Py_True ? "\r\nConnection: keep-alive" : "\r\nConnection: close");
    if (!head.has_server)
        add_text(&pieces, "\r\nServer: Heroku");
    add_via(&pieces, head.via);
    add(&pieces, span_of(args[2]));
    add_text(&pieces, "\r\n");
    add(&pieces, head.body);
    return TUPLE(joined(&pieces), PyLong_FromLong(head.status), PyBool_FromLong(head.keep_alive),
                 PyLong_FromLongLong(head.length - head.body.size));
}

#define FAST(name, words) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, words}
static PyMethodDef methods[] = {
    {"read_request", read_request, METH_O, "The fields of heads.read_request, or None"},
    {"read_response", read_response, METH_O, "The fields of heads.read_response of the head these bytes begin with, or None"},
    FAST(forward, "What becomes of a plain request: site, request id, host, what the dyno gets, words, whether to keep alive, the body's bytes in it and to come"),
    FAST(answer, "What becomes of an answer whose length is known, or of its beginning; or None"),
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "router_heads", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_router_heads(void)
{
    fill_kinds();
    fill_first_of();
    PyObject *made = PyModule_Create(&module);
    if (made != NULL && PyModule_AddIntConstant(made, "VERSION", VERSION))
        Py_CLEAR(made);
    return made;
}
