/* Heads as headers.py and heads.py have them, for the usual ones: read in one pass, made anew in one piece; and their access lines.
 * Optional: Python does it all where this was not compiled (compiled.py).
 *
 * Whoever is in doubt asks Python: a function here returns None for whatever it does not take for plain, whole and valid (faults too),
 * and Python does it again. So no verdict and no word of a refusal stands here; what is taken must be a part of what Python takes,
 * with the same result, which tests/router/test_router_compiled.py asks for.
 *
 * Memory: a reader looks at the bytes between `at` and `end` of one immutable bytes object, and compares with `end` before each look. A
 * maker adds up the sizes of its pieces, allocates once, copies. Nothing here outlives a call but the shapes of the two classes.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <string.h>

typedef const unsigned char *Bytes;
typedef struct { Bytes at; Py_ssize_t size; } Span;

enum { VERSION = 2, LINE = 8192, NAME = 1000, COUNT = 1000, DIGITS = 18, SLOTS = 32, RUNS = 16, PIECES = 40 };
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

/* Compare without regard to case; `name` is in lower case. */
static int is(Span span, const char *name)
{
    if (span.size != (Py_ssize_t)strlen(name))
        return 0;
    for (Py_ssize_t i = 0; i < span.size; i++) {
        unsigned char c = span.at[i];
        if ((c >= 'A' && c <= 'Z' ? c | 32 : c) != (unsigned char)name[i])
            return 0;
    }
    return 1;
}

/* -- what is read ------------------------------------------------------------------------------------------------------------------ */

/* One head, as places in the bytes it came in. `runs` are the lines that stay, each led by its CRLF; a span without `at` was not there. */
typedef struct {
    Span method, target, host, forwarded_for, request_id; /* a request's */
    Span start;                                            /* a response's first line */
    Span via, body, runs[RUNS];
    long long length;
    int status, keep_alive, has_server, count;
} Head;

enum { KEEP, CUT, ASK };
typedef int (*Rule)(Head *head, Span name, Span value);

/* Read lines up to the empty one, from behind the first CRLF, and let the rule look at each; -1: ask Python. */
static int read_lines(Head *head, Bytes at, Bytes end, Rule rule)
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
        int what = rule(head, name, value);
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

/* A header that is there once at most. */
static int once(Span *place, Span value, int what)
{
    if (place->at != NULL)
        return ASK;
    *place = value;
    return what;
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

static int coding_rule(Head *head, Span value)
{
    if (head->length != NOT_SAID || !is(value, "chunked"))
        return ASK;
    head->length = CHUNKED;
    return CUT;
}

static int connection_rule(Head *head, Span value)
{
    if (is(value, "close"))
        head->keep_alive = 0;
    else if (!is(value, "keep-alive"))
        return ASK;
    return CUT;
}

/* headers.REQUEST_RULES, as far as it goes without doubts. */
static int request_rule(Head *head, Span name, Span value)
{
    switch (name.size) {
    case 2:
        return is(name, "te") ? CUT : KEEP;
    case 3:
        return is(name, "via") ? once(&head->via, value, CUT) : KEEP;
    case 4:
        if (!is(name, "host"))
            return KEEP;
        return value.size == 0 ? ASK : once(&head->host, value, KEEP);
    case 6:
        return is(name, "expect") ? ASK : KEEP;
    case 7:
        return is(name, "upgrade") ? ASK : KEEP;
    case 10:
        if (is(name, "connection"))
            return connection_rule(head, value);
        return is(name, "keep-alive") ? CUT : KEEP;
    case 12:
        if (!is(name, "x-request-id"))
            return KEEP;
        if (head->request_id.at == NULL && value.size >= 20 && value.size <= 200 && only(value, ID))
            head->request_id = value;
        return CUT;
    case 14:
        return is(name, "content-length") ? length_rule(head, value) : KEEP;
    case 15:
        if (is(name, "x-forwarded-for"))
            return once(&head->forwarded_for, value, CUT);
        return is(name, "x-request-start") ? CUT : KEEP;
    case 16:
        return is(name, "x-forwarded-port") ? CUT : KEEP;
    case 17:
        if (is(name, "transfer-encoding"))
            return coding_rule(head, value);
        return is(name, "x-forwarded-proto") ? CUT : KEEP;
    case 19:
        return is(name, "proxy-authorization") ? CUT : KEEP;
    default:
        return KEEP;
    }
}

/* headers.RESPONSE_RULES, likewise. */
static int response_rule(Head *head, Span name, Span value)
{
    switch (name.size) {
    case 3:
        return is(name, "via") ? once(&head->via, value, CUT) : KEEP;
    case 6:
        head->has_server |= is(name, "server");
        return KEEP;
    case 7:
        return is(name, "upgrade") ? ASK : KEEP;
    case 10:
        if (is(name, "connection"))
            return connection_rule(head, value);
        return is(name, "keep-alive") ? CUT : KEEP;
    case 14:
        return is(name, "content-length") ? length_rule(head, value) : KEEP;
    case 17:
        return is(name, "transfer-encoding") ? coding_rule(head, value) : KEEP;
    default:
        return KEEP;
    }
}

/* Read a whole head and nothing behind it: `METHOD /target HTTP/1.1` and lines. Of methods only those that httptools surely knows. */
static int parse_request(PyObject *data, Head *head)
{
    if (!PyBytes_CheckExact(data))
        return -1;
    Bytes first = (Bytes)PyBytes_AS_STRING(data), at = first, end = at + PyBytes_GET_SIZE(data);
    *head = (Head){.length = NOT_SAID, .keep_alive = 1};
    while (at < end && *at >= 'A' && *at <= 'Z')
        at++;
    head->method = (Span){first, at - first};
    if (!(same(head->method, "GET") || same(head->method, "POST") || same(head->method, "HEAD") || same(head->method, "PUT")
          || same(head->method, "PATCH") || same(head->method, "DELETE") || same(head->method, "OPTIONS"))
        || end - at < 2 || at[0] != ' ' || at[1] != '/')
        return -1;
    head->target.at = ++at;
    while (at < end && kinds[*at] & TARGET)
        at++;
    head->target.size = at - head->target.at;
    if (end - at < 11 || memcmp(at, " HTTP/1.1\r\n", 11) || at + 9 - first > LINE)
        return -1;
    return read_lines(head, at + 11, end, request_rule) || head->body.size || head->host.at == NULL ? -1 : 0;
}

/* Read the head that bytes begin with: `HTTP/1.1 200 words`, a final status, and lines; the body is what is there behind it. */
static int parse_response(PyObject *data, Head *head)
{
    if (!PyBytes_CheckExact(data))
        return -1;
    Bytes first = (Bytes)PyBytes_AS_STRING(data), at = first, end = at + PyBytes_GET_SIZE(data);
    *head = (Head){.length = NOT_SAID, .keep_alive = 1};
    if (end - at < 15 || memcmp(at, "HTTP/1.1 ", 9) || at[9] < '2' || at[9] > '5' || !(kinds[at[10]] & DIGIT) || !(kinds[at[11]] & DIGIT)
        || at[12] != ' ')
        return -1;
    head->status = (at[9] - '0') * 100 + (at[10] - '0') * 10 + (at[11] - '0');
    for (at += 13; at < end && *at >= ' ' && *at < 127;)
        at++;
    head->start = (Span){first, at - first};
    if (end - at < 2 || at[0] != '\r' || at[1] != '\n' || head->start.size > LINE)
        return -1;
    return read_lines(head, at + 2, end, response_rule);
}

/* -- what is made ------------------------------------------------------------------------------------------------------------------ */

typedef struct { Span spans[PIECES]; int count; Py_ssize_t size; } Pieces;

static void add(Pieces *pieces, Span span)
{
    if (pieces->count < PIECES && pieces->size >= 0 && span.size <= PY_SSIZE_T_MAX - pieces->size) {
        pieces->spans[pieces->count++] = span;
        pieces->size += span.size;
    } else
        pieces->size = -1; /* seen by fill_in's callers; nobody adds so many */
}

static void add_text(Pieces *pieces, const char *text) { add(pieces, (Span){(Bytes)text, (Py_ssize_t)strlen(text)}); }

/* Add a bytes object that the caller holds on to; -1 with an error for anything else. */
static int add_bytes(Pieces *pieces, PyObject *object)
{
    if (object == NULL || !PyBytes_CheckExact(object)) {
        PyErr_SetString(PyExc_TypeError, "bytes are needed");
        return -1;
    }
    add(pieces, (Span){(Bytes)PyBytes_AS_STRING(object), PyBytes_GET_SIZE(object)});
    return 0;
}

static void fill_in(const Pieces *pieces, char *to)
{
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

static PyObject *runs_of(const Head *head)
{
    Pieces pieces = {.count = 0};
    for (int i = 0; i < head->count; i++)
        add(&pieces, head->runs[i]);
    return joined(&pieces);
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

/* -- instances of Python's classes ------------------------------------------------------------------------------------------------- */

/* Both classes have slots alone. A new instance is a copy of one that their own __init__ made, so that a field that is new in Python
 * has its default here too; where a slot lies, its descriptor tells. */
typedef struct { PyTypeObject *type; PyObject *blank; Py_ssize_t count, offsets[SLOTS]; } Shape;
static Shape request_shape, response_shape;

enum { METHOD, TARGET_OF, LINES, HOST, LENGTH, KEEP_ALIVE, VIA, FORWARDED_FOR, REQUEST_ID, UPGRADE, REQUEST_FIELDS };
static const char *const request_names[] = {
    "method", "target", "lines", "host", "length", "keep_alive", "via", "forwarded_for", "request_id", "upgrade" };
static Py_ssize_t request_at[REQUEST_FIELDS];
enum { A_STATUS, A_START, A_SIZE, A_LINES, A_LENGTH, A_KEEP_ALIVE, A_VIA, A_HAS_SERVER, RESPONSE_FIELDS };
static const char *const response_names[] = { "status", "start", "size", "lines", "length", "keep_alive", "via", "has_server" };
static Py_ssize_t response_at[RESPONSE_FIELDS];

static PyObject **slot(PyObject *object, Py_ssize_t offset) { return (PyObject **)((char *)object + offset); }

static PyObject *instance(const Shape *shape)
{
    if (shape->blank == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no shapes yet");
        return NULL;
    }
    PyObject *made = PyType_GenericAlloc(shape->type, 0);
    for (Py_ssize_t i = 0; made != NULL && i < shape->count; i++)
        Py_XINCREF(*slot(made, shape->offsets[i]) = *slot(shape->blank, shape->offsets[i]));
    return made;
}

/* Put a new reference into a slot; NULL is an error that is on its way already. */
static int put(PyObject *object, Py_ssize_t offset, PyObject *value)
{
    if (value == NULL)
        return -1;
    Py_XSETREF(*slot(object, offset), value);
    return 0;
}

/* Put bytes, if they were there. */
static int put_span(PyObject *object, Py_ssize_t offset, Span span)
{
    return span.at == NULL ? 0 : put(object, offset, PyBytes_FromStringAndSize((const char *)span.at, span.size));
}

static int put_length(PyObject *object, Py_ssize_t offset, long long length)
{
    return length == NOT_SAID ? 0 : put(object, offset, PyLong_FromLongLong(length));
}

/* Find where a slot of the class lies; -1 with an error set if it has none of that name. */
static Py_ssize_t offset_of(PyTypeObject *type, PyObject *name)
{
    PyObject *found = PyDict_GetItemWithError(type->tp_dict, name);
    if (found == NULL || !Py_IS_TYPE(found, &PyMemberDescr_Type)
        || ((PyMemberDescrObject *)found)->d_member->type != T_OBJECT_EX) {
        if (!PyErr_Occurred())
            PyErr_Format(PyExc_TypeError, "no slot %R", name);
        return -1;
    }
    return ((PyMemberDescrObject *)found)->d_member->offset;
}

static int learn_one(Shape *shape, PyObject *type, const char *const *names, Py_ssize_t *at, int fields)
{
    PyObject *slots = PyType_Check(type) ? PyDict_GetItemString(((PyTypeObject *)type)->tp_dict, "__slots__") : NULL;
    if (slots == NULL || !PyTuple_Check(slots) || PyTuple_GET_SIZE(slots) > SLOTS
        || ((PyTypeObject *)type)->tp_base != &PyBaseObject_Type || ((PyTypeObject *)type)->tp_dictoffset) {
        PyErr_SetString(PyExc_TypeError, "not a class of few slots alone");
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(slots); i++)
        if ((shape->offsets[i] = offset_of((PyTypeObject *)type, PyTuple_GET_ITEM(slots, i))) < 0)
            return -1;
    for (int i = 0; i < fields; i++) {
        PyObject *name = PyUnicode_FromString(names[i]);
        at[i] = name == NULL ? -1 : offset_of((PyTypeObject *)type, name);
        Py_XDECREF(name);
        if (at[i] < 0)
            return -1;
    }
    PyObject *blank = PyObject_CallNoArgs(type);
    if (blank == NULL)
        return -1;
    shape->count = PyTuple_GET_SIZE(slots);
    shape->type = (PyTypeObject *)Py_NewRef(type);
    Py_XSETREF(shape->blank, blank);
    return 0;
}

static PyObject *learn(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "two classes are needed");
        return NULL;
    }
    if (request_shape.blank == NULL /* once: the shapes stay as they are for good */
        && (learn_one(&request_shape, args[0], request_names, request_at, REQUEST_FIELDS)
            || learn_one(&response_shape, args[1], response_names, response_at, RESPONSE_FIELDS)))
        return NULL;
    Py_RETURN_NONE;
}

/* -- for Python -------------------------------------------------------------------------------------------------------------------- */

static PyObject *read_request(PyObject *module, PyObject *data)
{
    Head head;
    if (parse_request(data, &head))
        Py_RETURN_NONE;
    PyObject *made = instance(&request_shape);
    if (made == NULL || put_span(made, request_at[METHOD], head.method) || put_span(made, request_at[TARGET_OF], head.target)
        || put_span(made, request_at[HOST], head.host) || put_span(made, request_at[VIA], head.via)
        || put_span(made, request_at[FORWARDED_FOR], head.forwarded_for) || put_span(made, request_at[REQUEST_ID], head.request_id)
        || put_length(made, request_at[LENGTH], head.length) || put(made, request_at[LINES], runs_of(&head))
        || put(made, request_at[KEEP_ALIVE], PyBool_FromLong(head.keep_alive)))
        Py_CLEAR(made);
    return made;
}

static PyObject *read_response(PyObject *module, PyObject *data)
{
    Head head;
    if (parse_response(data, &head))
        Py_RETURN_NONE;
    PyObject *made = instance(&response_shape);
    if (made == NULL || put_span(made, response_at[A_START], head.start) || put_span(made, response_at[A_VIA], head.via)
        || put(made, response_at[A_STATUS], PyLong_FromLong(head.status))
        || put(made, response_at[A_SIZE], PyLong_FromSsize_t(PyBytes_GET_SIZE(data) - head.body.size))
        || put_length(made, response_at[A_LENGTH], head.length) || put(made, response_at[A_LINES], runs_of(&head))
        || put(made, response_at[A_KEEP_ALIVE], PyBool_FromLong(head.keep_alive))
        || put(made, response_at[A_HAS_SERVER], PyBool_FromLong(head.has_server)))
        Py_CLEAR(made);
    return made;
}

/* The usual answer: a plain head and its whole body, no more and no less. Gives what the client gets, status, whether the dyno keeps its
 * connection; `keep` is whether the client's stays, `line` one more for the head. */
static PyObject *whole_answer(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    Head head;
    Pieces pieces = {.count = 0};
    if (count != 3) {
        PyErr_SetString(PyExc_TypeError, "an answer, whether to keep and a line are needed");
        return NULL;
    }
    if (parse_response(args[0], &head) || head.length != head.body.size || head.status == 204 || head.status == 304)
        Py_RETURN_NONE;
    add(&pieces, head.start);
    for (int i = 0; i < head.count; i++)
        add(&pieces, head.runs[i]);
    add_text(&pieces, args[1] == Py_True ? "\r\nConnection: keep-alive" : "\r\nConnection: close");
    if (!head.has_server)
        add_text(&pieces, "\r\nServer: Heroku");
    add_via(&pieces, head.via);
    if (add_bytes(&pieces, args[2]))
        return NULL;
    add_text(&pieces, "\r\n");
    add(&pieces, head.body);
    PyObject *made = joined(&pieces);
    return made == NULL ? NULL : Py_BuildValue("NiO", made, head.status, head.keep_alive ? Py_True : Py_False);
}

static const char FORWARDED[] = "\r\nX-Forwarded-For: "; /* how the origin's lines begin: headers.origin_lines */

static PyObject *dyno_head(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    const Py_ssize_t lead = (Py_ssize_t)sizeof FORWARDED - 1;
    Pieces pieces = {.count = 0}, via = {.count = 0}, upgrade = {.count = 0}, before = {.count = 0}, origin = {.count = 0};
    if (count != 5 || !Py_IS_TYPE(args[0], request_shape.type)) {
        PyErr_SetString(PyExc_TypeError, "a head, origin, request id, time and whether to close are needed");
        return NULL;
    }
    PyObject *head = args[0], *length = *slot(head, request_at[LENGTH]);
    if (add_bytes(&via, *slot(head, request_at[VIA])) || add_bytes(&upgrade, *slot(head, request_at[UPGRADE]))
        || add_bytes(&before, *slot(head, request_at[FORWARDED_FOR])) || add_bytes(&origin, args[1]))
        return NULL;
    Span from = origin.spans[0];
    if (from.size < lead || memcmp(from.at, FORWARDED, (size_t)lead)) {
        PyErr_SetString(PyExc_TypeError, "an origin begins otherwise");
        return NULL;
    }
    if (add_bytes(&pieces, *slot(head, request_at[METHOD])))
        return NULL;
    add_text(&pieces, " ");
    if (add_bytes(&pieces, *slot(head, request_at[TARGET_OF])))
        return NULL;
    add_text(&pieces, " HTTP/1.1");
    if (add_bytes(&pieces, *slot(head, request_at[LINES])))
        return NULL;
    if (length != NULL && PyLong_CheckExact(length) && Py_SIZE(length) < 0) /* the only number below zero is headers.CHUNKED */
        add_text(&pieces, "\r\nTransfer-Encoding: chunked");
    if (upgrade.size > 0) {
        add_text(&pieces, "\r\nConnection: Upgrade\r\nUpgrade: ");
        add(&pieces, upgrade.spans[0]);
    } else if (args[4] == Py_True)
        add_text(&pieces, "\r\nConnection: close");
    add_text(&pieces, "\r\nX-Request-Id: ");
    if (add_bytes(&pieces, args[2]))
        return NULL;
    add(&pieces, (Span){from.at, lead});
    if (before.size > 0) {
        add(&pieces, before.spans[0]);
        add_text(&pieces, ", ");
    }
    add(&pieces, (Span){from.at + lead, from.size - lead});
    add_via(&pieces, via.spans[0]);
    add_text(&pieces, "X-Request-Start: ");
    if (add_bytes(&pieces, args[3]))
        return NULL;
    add_text(&pieces, "\r\n\r\n");
    return joined(&pieces);
}

/* Write a number into `room` (20 bytes at least) and add it; 0: it is none, or below zero. */
static int add_number(Pieces *pieces, PyObject *number, unsigned char *room)
{
    int overflow = 0, at = 20;
    long long left = PyLong_CheckExact(number) ? PyLong_AsLongLongAndOverflow(number, &overflow) : -1;
    if (left < 0 || overflow)
        return 0;
    do
        room[--at] = (unsigned char)('0' + left % 10);
    while ((left /= 10) > 0);
    add(pieces, (Span){room + at, 20 - at});
    return 1;
}

/* Add bytes or text that stand in a log line as they are; 0: they do not. */
static int add_logged(Pieces *pieces, PyObject *object)
{
    Span span = {NULL, 0};
    if (object != NULL && PyBytes_CheckExact(object))
        span = (Span){(Bytes)PyBytes_AS_STRING(object), PyBytes_GET_SIZE(object)};
    else if (object != NULL && PyUnicode_CheckExact(object) && PyUnicode_IS_COMPACT_ASCII(object))
        span = (Span){PyUnicode_1BYTE_DATA(object), PyUnicode_GET_LENGTH(object)};
    if (span.at == NULL || !only(span, LOGGED))
        return 0;
    add(pieces, span);
    return 1;
}

/* access_line.line of a request that went well: head, host, request id, peer, dyno, connect, service, status, size, protocol. */
static PyObject *access_line(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    Pieces pieces = {.count = 0};
    unsigned char room[4][20];
    if (count != 10 || !Py_IS_TYPE(args[0], request_shape.type)) {
        PyErr_SetString(PyExc_TypeError, "a head and nine words are needed");
        return NULL;
    }
    PyObject *head = args[0], *before = *slot(head, request_at[FORWARDED_FOR]);
    static const char *const leads[] = {"", " host=", " request_id=", " fwd=\"", "\" dyno=", " connect=", "ms service=", "ms status=", " bytes=", " "};
    add_text(&pieces, "at=info method=");
    int plain = add_logged(&pieces, *slot(head, request_at[METHOD]));
    add_text(&pieces, " path=\"");
    plain = plain && add_logged(&pieces, *slot(head, request_at[TARGET_OF]));
    add_text(&pieces, "\"");
    for (int i = 1; plain && i < 10; i++) {
        add_text(&pieces, leads[i]);
        if (i == 3 && (before == NULL || !PyBytes_CheckExact(before) || PyBytes_GET_SIZE(before) > 0)) {
            plain = add_logged(&pieces, before);
            add_text(&pieces, ", ");
        }
        plain = plain && (i < 5 || i == 9 ? add_logged(&pieces, args[i]) : add_number(&pieces, args[i], room[i - 5]));
    }
    if (!plain)
        Py_RETURN_NONE;
    PyObject *made = pieces.size < 0 ? PyErr_NoMemory() : PyUnicode_New(pieces.size, 127); /* all of it was looked at: ASCII */
    if (made != NULL)
        fill_in(&pieces, (char *)PyUnicode_1BYTE_DATA(made));
    return made;
}

#define FAST(name, words) {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL, words}
static PyMethodDef methods[] = {
    FAST(learn, "Take the classes of heads, once."),
    {"read_request", read_request, METH_O, "heads.read_request, or None"},
    {"read_response", read_response, METH_O, "heads.read_response of the head these bytes begin with, or None"},
    FAST(whole_answer, "What becomes of a whole answer, or None"),
    FAST(dyno_head, "headers.dyno_head"),
    FAST(access_line, "access_line.line of a request that went well, or None"),
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "router_heads", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_router_heads(void)
{
    fill_kinds();
    PyObject *made = PyModule_Create(&module);
    if (made != NULL && PyModule_AddIntConstant(made, "VERSION", VERSION))
        Py_CLEAR(made);
    return made;
}
