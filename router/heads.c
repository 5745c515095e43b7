/* Heads as headers.py and heads.py have them, for the usual ones: read in one pass, made anew in one piece. Optional: heads.py takes
 * Python's way where this was not compiled.
 *
 * Whoever is in doubt asks Python: the readers return None for whatever they do not take for one plain, whole, valid head (faults too),
 * and heads.py reads it again. So no verdict and no word of a refusal stands here; what is taken must be a part of what Python takes,
 * with the same result, which tests/router/test_router_compiled.py asks for.
 *
 * Memory: a reader looks at the bytes between `at` and `end` of one immutable bytes object, and compares with `end` before each look. A
 * maker adds up the sizes of its pieces, allocates once, copies. Nothing here outlives a call but the shapes of the two classes.
 */
#define _GNU_SOURCE /* memmem */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <string.h>

typedef const unsigned char *Bytes;
typedef struct { Bytes at; Py_ssize_t size; } Span;

enum { VERSION = 1, LINE = 8192, NAME = 1000, COUNT = 1000, DIGITS = 18, SLOTS = 64, PIECES = 24 };
enum { TOKEN = 1, VALUE = 2, TARGET = 4, ID = 8, DIGIT = 16 };
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
    }
}

static int only(Span span, int kind)
{
    for (Py_ssize_t i = 0; i < span.size; i++)
        if (!(kinds[span.at[i]] & kind))
            return 0;
    return 1;
}

/* Compare without regard to case; `name` is in lower case. */
static int is(Span span, const char *name)
{
    Py_ssize_t size = (Py_ssize_t)strlen(name);
    if (span.size != size)
        return 0;
    for (Py_ssize_t i = 0; i < size; i++) {
        unsigned char c = span.at[i];
        if ((c >= 'A' && c <= 'Z' ? c | 32 : c) != (unsigned char)name[i])
            return 0;
    }
    return 1;
}

/* -- instances of Python's classes ------------------------------------------------------------------------------------------------ */

/* Both classes have slots alone. A new instance is a copy of one that their own __init__ made, so that a field that is new in Python
 * has its default here too; where a slot lies, its descriptor tells. */
typedef struct { PyTypeObject *type; PyObject *blank; Py_ssize_t count, offsets[SLOTS]; } Shape;
static Shape request_shape, response_shape;

enum { R_METHOD, R_TARGET, R_LINES, R_HOST, R_LENGTH, R_KEEP_ALIVE, R_VIA, R_FORWARDED_FOR, R_REQUEST_ID, R_UPGRADE, R_FIELDS };
static const char *const request_names[] = {
    "method", "target", "lines", "host", "length", "keep_alive", "via", "forwarded_for", "request_id", "upgrade" };
static Py_ssize_t request_at[R_FIELDS];
enum { A_STATUS, A_START, A_LINES, A_LENGTH, A_KEEP_ALIVE, A_VIA, A_HAS_SERVER, A_SIZE, A_MINOR, A_FIELDS };
static const char *const response_names[] = {
    "status", "start", "lines", "length", "keep_alive", "via", "has_server", "size", "minor" };
static Py_ssize_t response_at[A_FIELDS];
static PyObject *empty, *chunked_length;

static PyObject **slot(PyObject *object, Py_ssize_t offset) { return (PyObject **)((char *)object + offset); }

/* Put a new reference into a slot; NULL is an error that is on its way already. */
static int put(PyObject *object, Py_ssize_t offset, PyObject *value)
{
    if (value == NULL)
        return -1;
    Py_XSETREF(*slot(object, offset), value);
    return 0;
}

static int put_span(PyObject *object, Py_ssize_t offset, Span span)
{
    return put(object, offset, PyBytes_FromStringAndSize((const char *)span.at, span.size));
}

static PyObject *instance(const Shape *shape)
{
    if (shape->blank == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "no shapes yet");
        return NULL;
    }
    PyObject *made = PyType_GenericAlloc(shape->type, 0);
    for (Py_ssize_t i = 0; made != NULL && i < shape->count; i++) {
        PyObject *value = *slot(shape->blank, shape->offsets[i]);
        Py_XINCREF(value);
        *slot(made, shape->offsets[i]) = value;
    }
    return made;
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

static int learn(Shape *shape, PyObject *type, const char *const *names, Py_ssize_t *at, int fields)
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

static PyObject *learn_shapes(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "two classes");
        return NULL;
    }
    if (learn(&request_shape, args[0], request_names, request_at, R_FIELDS)
        || learn(&response_shape, args[1], response_names, response_at, A_FIELDS))
        return NULL;
    Py_RETURN_NONE;
}

/* -- lines ------------------------------------------------------------------------------------------------------------------------ */

typedef struct { Span name, value; Bytes start, end; } Header; /* `start`: the CRLF before it; `end`: the CRLF behind it */

/* Read the line at *at, which is behind a CRLF. 1: a header; 0: the empty line, *at is behind it; -1: ask Python. */
static int next_header(Bytes *at, Bytes end, Header *header)
{
    Bytes p = *at;
    if (end - p >= 2 && p[0] == '\r' && p[1] == '\n') {
        *at = p + 2;
        return 0;
    }
    header->start = p - 2;
    header->name.at = p;
    while (p < end && kinds[*p] & TOKEN)
        p++;
    header->name.size = p - header->name.at;
    if (header->name.size == 0 || header->name.size > NAME || p == end || *p != ':')
        return -1;
    p++;
    while (p < end && (*p == ' ' || *p == '\t'))
        p++;
    header->value.at = p;
    while (p < end && kinds[*p] & VALUE)
        p++;
    if (end - p < 2 || p[0] != '\r' || p[1] != '\n' || p - *at > LINE)
        return -1;
    header->end = p;
    *at = p + 2;
    while (p > header->value.at && (p[-1] == ' ' || p[-1] == '\t'))
        p--;
    header->value.size = p - header->value.at;
    return 1;
}

/* Lines that stay, gathered in runs: `made` has room for all of them. */
typedef struct { PyObject *made; Py_ssize_t size; Bytes run; } Kept;

static int keep_from(Kept *kept, Bytes start, Bytes end)
{
    kept->size = 0;
    kept->run = start;
    kept->made = PyBytes_FromStringAndSize(NULL, end - start);
    return kept->made == NULL ? -1 : 0;
}

static void keep_until(Kept *kept, Bytes until)
{
    memcpy(PyBytes_AS_STRING(kept->made) + kept->size, kept->run, (size_t)(until - kept->run));
    kept->size += until - kept->run;
}

static void cut(Kept *kept, const Header *header)
{
    keep_until(kept, header->start);
    kept->run = header->end;
}

static int put_kept(PyObject *object, Py_ssize_t offset, Kept *kept, Bytes until)
{
    keep_until(kept, until);
    if (kept->size != PyBytes_GET_SIZE(kept->made) && _PyBytes_Resize(&kept->made, kept->size))
        return -1;
    PyObject *made = kept->made;
    kept->made = NULL;
    return put(object, offset, made);
}

/* Read a Content-Length, as a number; NULL without an error: ask Python. */
static PyObject *length_of(Span value)
{
    long long length = 0;
    if (value.size == 0 || value.size > DIGITS || !only(value, DIGIT))
        return NULL;
    for (Py_ssize_t i = 0; i < value.size; i++)
        length = length * 10 + (value.at[i] - '0');
    return PyLong_FromLongLong(length);
}

/* -- requests --------------------------------------------------------------------------------------------------------------------- */

enum { KEEP, CUT, ASK, FAIL };

/* What is done with one header of a request: headers.py's table, as far as it goes without doubts. */
static int request_rule(PyObject *head, const Header *header)
{
    Span name = header->name, value = header->value;
    switch (name.size) {
    case 2:
        return is(name, "te") ? CUT : KEEP;
    case 3:
        if (!is(name, "via"))
            return KEEP;
        if (*slot(head, request_at[R_VIA]) != empty)
            return ASK;
        return put_span(head, request_at[R_VIA], value) ? FAIL : CUT;
    case 4:
        if (!is(name, "host"))
            return KEEP;
        if (*slot(head, request_at[R_HOST]) != Py_None || value.size == 0)
            return ASK;
        return put_span(head, request_at[R_HOST], value) ? FAIL : KEEP;
    case 6:
        return is(name, "expect") ? ASK : KEEP;
    case 7:
        return is(name, "upgrade") ? ASK : KEEP;
    case 10:
        if (is(name, "keep-alive"))
            return CUT;
        if (!is(name, "connection"))
            return KEEP;
        if (is(value, "keep-alive"))
            return CUT;
        if (!is(value, "close"))
            return ASK;
        return put(head, request_at[R_KEEP_ALIVE], Py_NewRef(Py_False)) ? FAIL : CUT;
    case 12:
        if (!is(name, "x-request-id"))
            return KEEP;
        if (value.size < 20 || value.size > 200 || !only(value, ID) || *slot(head, request_at[R_REQUEST_ID]) != empty)
            return CUT;
        return put_span(head, request_at[R_REQUEST_ID], value) ? FAIL : CUT;
    case 14: {
        if (!is(name, "content-length"))
            return KEEP;
        PyObject *length = *slot(head, request_at[R_LENGTH]) == Py_None ? length_of(value) : NULL;
        if (length == NULL)
            return PyErr_Occurred() ? FAIL : ASK;
        return put(head, request_at[R_LENGTH], length) ? FAIL : KEEP;
    }
    case 15:
        if (!is(name, "x-forwarded-for"))
            return is(name, "x-request-start") ? CUT : KEEP;
        if (*slot(head, request_at[R_FORWARDED_FOR]) != empty)
            return ASK;
        return put_span(head, request_at[R_FORWARDED_FOR], value) ? FAIL : CUT;
    case 16:
        return is(name, "x-forwarded-port") ? CUT : KEEP;
    case 17:
        if (is(name, "x-forwarded-proto"))
            return CUT;
        if (!is(name, "transfer-encoding"))
            return KEEP;
        if (!is(value, "chunked") || *slot(head, request_at[R_LENGTH]) != Py_None)
            return ASK;
        return put(head, request_at[R_LENGTH], Py_NewRef(chunked_length)) ? FAIL : CUT;
    case 19:
        return is(name, "proxy-authorization") ? CUT : KEEP;
    default:
        return KEEP;
    }
}

static int same(Span span, const char *text) { return span.size == (Py_ssize_t)strlen(text) && !memcmp(span.at, text, (size_t)span.size); }

/* Read `METHOD /target HTTP/1.1`, and leave *at behind its CRLF; -1: ask Python. Of methods only those that httptools surely knows. */
static int request_line(Bytes *at, Bytes end, Span *method, Span *target)
{
    Bytes p = *at;
    method->at = p;
    while (p < end && *p >= 'A' && *p <= 'Z')
        p++;
    method->size = p - method->at;
    if (!(same(*method, "GET") || same(*method, "POST") || same(*method, "HEAD") || same(*method, "PUT") || same(*method, "PATCH")
          || same(*method, "DELETE") || same(*method, "OPTIONS")) || end - p < 2 || p[0] != ' ' || p[1] != '/')
        return -1;
    target->at = ++p;
    while (p < end && kinds[*p] & TARGET)
        p++;
    target->size = p - target->at;
    if (end - p < 11 || memcmp(p, " HTTP/1.1\r\n", 11) || p - *at > LINE - 9)
        return -1;
    *at = p + 11;
    return 0;
}

static PyObject *read_request(PyObject *module, PyObject *data)
{
    Span method, target;
    Header header;
    Kept kept = {NULL, 0, NULL};
    PyObject *head = NULL;
    int what = 0, count = 0;
    if (!PyBytes_CheckExact(data))
        Py_RETURN_NONE;
    Bytes at = (Bytes)PyBytes_AS_STRING(data), end = at + PyBytes_GET_SIZE(data);
    if (request_line(&at, end, &method, &target))
        Py_RETURN_NONE;
    head = instance(&request_shape);
    if (head == NULL || keep_from(&kept, at - 2, end) || put_span(head, request_at[R_METHOD], method)
        || put_span(head, request_at[R_TARGET], target))
        goto fail;
    while ((what = next_header(&at, end, &header)) == 1) {
        int rule = request_rule(head, &header);
        if (rule == FAIL)
            goto fail;
        if (rule == ASK || ++count > COUNT)
            goto ask;
        if (rule == CUT)
            cut(&kept, &header);
    }
    if (what < 0 || at != end || *slot(head, request_at[R_HOST]) == Py_None)
        goto ask;
    if (put_kept(head, request_at[R_LINES], &kept, at - 4))
        goto fail;
    return head;
ask:
    Py_XDECREF(kept.made);
    Py_XDECREF(head);
    Py_RETURN_NONE;
fail:
    Py_XDECREF(kept.made);
    Py_XDECREF(head);
    return NULL;
}

/* -- responses -------------------------------------------------------------------------------------------------------------------- */

static int response_rule(PyObject *head, const Header *header)
{
    Span name = header->name, value = header->value;
    switch (name.size) {
    case 3:
        if (!is(name, "via"))
            return KEEP;
        if (*slot(head, response_at[A_VIA]) != empty)
            return ASK;
        return put_span(head, response_at[A_VIA], value) ? FAIL : CUT;
    case 6:
        if (!is(name, "server"))
            return KEEP;
        return put(head, response_at[A_HAS_SERVER], Py_NewRef(Py_True)) ? FAIL : KEEP;
    case 7:
        return is(name, "upgrade") ? ASK : KEEP;
    case 10:
        if (is(name, "keep-alive"))
            return CUT;
        if (!is(name, "connection"))
            return KEEP;
        if (is(value, "keep-alive"))
            return CUT;
        if (!is(value, "close"))
            return ASK;
        return put(head, response_at[A_KEEP_ALIVE], Py_NewRef(Py_False)) ? FAIL : CUT;
    case 14: {
        if (!is(name, "content-length"))
            return KEEP;
        PyObject *length = *slot(head, response_at[A_LENGTH]) == Py_None ? length_of(value) : NULL;
        if (length == NULL)
            return PyErr_Occurred() ? FAIL : ASK;
        return put(head, response_at[A_LENGTH], length) ? FAIL : KEEP;
    }
    case 17:
        if (!is(name, "transfer-encoding"))
            return KEEP;
        if (!is(value, "chunked") || *slot(head, response_at[A_LENGTH]) != Py_None)
            return ASK;
        return put(head, response_at[A_LENGTH], Py_NewRef(chunked_length)) ? FAIL : CUT;
    default:
        return KEEP;
    }
}

/* Read `HTTP/1.1 200 words`, a final status, and leave *at behind its CRLF; -1: ask Python. */
static int status_line(Bytes *at, Bytes end, Span *start)
{
    Bytes p = *at;
    if (end - p < 15 || memcmp(p, "HTTP/1.1 ", 9) || p[9] < '2' || p[9] > '5' || !(kinds[p[10]] & DIGIT) || !(kinds[p[11]] & DIGIT)
        || p[12] != ' ')
        return -1;
    start->at = p;
    p += 13;
    while (p < end && *p >= ' ' && *p < 127)
        p++;
    start->size = p - start->at;
    if (end - p < 2 || p[0] != '\r' || p[1] != '\n' || start->size > LINE)
        return -1;
    *at = p + 2;
    return 0;
}

static PyObject *read_response(PyObject *module, PyObject *data)
{
    Span start;
    Header header;
    Kept kept = {NULL, 0, NULL};
    int what = 0;
    if (!PyBytes_CheckExact(data))
        Py_RETURN_NONE;
    Bytes first = (Bytes)PyBytes_AS_STRING(data), at = first, end = at + PyBytes_GET_SIZE(data);
    if (status_line(&at, end, &start))
        Py_RETURN_NONE;
    int status = (start.at[9] - '0') * 100 + (start.at[10] - '0') * 10 + (start.at[11] - '0');
    Bytes found = memmem(at - 2, (size_t)(end - at + 2), "\r\n\r\n", 4);
    if (found == NULL)
        Py_RETURN_NONE;
    end = found + 4; /* what follows may be a large body */
    PyObject *head = instance(&response_shape);
    if (head == NULL || keep_from(&kept, at - 2, end) || put_span(head, response_at[A_START], start)
        || put(head, response_at[A_STATUS], PyLong_FromLong(status))
        || put(head, response_at[A_SIZE], PyLong_FromSsize_t(end - first)))
        goto fail;
    while ((what = next_header(&at, end, &header)) == 1) {
        int rule = response_rule(head, &header);
        if (rule == FAIL)
            goto fail;
        if (rule == ASK)
            goto ask;
        if (rule == CUT)
            cut(&kept, &header);
    }
    if (what < 0 || at != end)
        goto ask;
    if (put_kept(head, response_at[A_LINES], &kept, end - 4))
        goto fail;
    return head;
ask:
    Py_XDECREF(kept.made);
    Py_XDECREF(head);
    Py_RETURN_NONE;
fail:
    Py_XDECREF(kept.made);
    Py_XDECREF(head);
    return NULL;
}

/* -- heads made anew -------------------------------------------------------------------------------------------------------------- */

typedef struct { Span spans[PIECES]; int count; Py_ssize_t size; } Pieces;

static void add(Pieces *pieces, Bytes at, Py_ssize_t size)
{
    if (pieces->count < PIECES && size <= PY_SSIZE_T_MAX - pieces->size) {
        pieces->spans[pieces->count++] = (Span){at, size};
        pieces->size += size;
    } else
        pieces->size = -1; /* seen by joined(); no caller adds so many */
}

static void add_text(Pieces *pieces, const char *text) { add(pieces, (Bytes)text, (Py_ssize_t)strlen(text)); }

/* Add a bytes object that the caller holds on to, from `from` on; -1 with an error for another. */
static int add_bytes(Pieces *pieces, PyObject *object, Py_ssize_t from)
{
    if (object == NULL || !PyBytes_CheckExact(object) || from < 0 || from > PyBytes_GET_SIZE(object)) {
        PyErr_SetString(PyExc_TypeError, "bytes of another length are needed");
        return -1;
    }
    add(pieces, (Bytes)PyBytes_AS_STRING(object) + from, PyBytes_GET_SIZE(object) - from);
    return 0;
}

static PyObject *joined(const Pieces *pieces)
{
    if (pieces->size < 0) {
        PyErr_SetString(PyExc_OverflowError, "too many pieces");
        return NULL;
    }
    PyObject *made = PyBytes_FromStringAndSize(NULL, pieces->size);
    if (made == NULL)
        return NULL;
    char *to = PyBytes_AS_STRING(made);
    for (int i = 0; i < pieces->count; i++) {
        memcpy(to, pieces->spans[i].at, (size_t)pieces->spans[i].size);
        to += pieces->spans[i].size;
    }
    return made;
}

static const char FORWARDED[] = "\r\nX-Forwarded-For: "; /* how the origin's lines begin: headers.origin_lines */

static PyObject *dyno_head(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    const Py_ssize_t lead = (Py_ssize_t)sizeof FORWARDED - 1;
    Pieces pieces = {.count = 0, .size = 0};
    if (count != 5 || !Py_IS_TYPE(args[0], request_shape.type)) {
        PyErr_SetString(PyExc_TypeError, "a head, origin, request id, time and whether to close are needed");
        return NULL;
    }
    PyObject *head = args[0], *origin = args[1], *request_id = args[2], *stamp = args[3];
    PyObject *upgrade = *slot(head, request_at[R_UPGRADE]), *via = *slot(head, request_at[R_VIA]);
    PyObject *before = *slot(head, request_at[R_FORWARDED_FOR]);
    if (!PyBytes_CheckExact(origin) || PyBytes_GET_SIZE(origin) < lead || memcmp(PyBytes_AS_STRING(origin), FORWARDED, (size_t)lead)) {
        PyErr_SetString(PyExc_TypeError, "an origin begins otherwise");
        return NULL;
    }
    if (add_bytes(&pieces, *slot(head, request_at[R_METHOD]), 0))
        return NULL;
    add_text(&pieces, " ");
    if (add_bytes(&pieces, *slot(head, request_at[R_TARGET]), 0))
        return NULL;
    add_text(&pieces, " HTTP/1.1");
    if (add_bytes(&pieces, *slot(head, request_at[R_LINES]), 0))
        return NULL;
    if (*slot(head, request_at[R_LENGTH]) == chunked_length)
        add_text(&pieces, "\r\nTransfer-Encoding: chunked");
    if (upgrade != empty) {
        add_text(&pieces, "\r\nConnection: Upgrade\r\nUpgrade: ");
        if (add_bytes(&pieces, upgrade, 0))
            return NULL;
    } else if (args[4] == Py_True)
        add_text(&pieces, "\r\nConnection: close");
    add_text(&pieces, "\r\nX-Request-Id: ");
    if (add_bytes(&pieces, request_id, 0))
        return NULL;
    if (before != empty) {
        add(&pieces, (Bytes)PyBytes_AS_STRING(origin), lead);
        if (add_bytes(&pieces, before, 0))
            return NULL;
        add_text(&pieces, ", ");
        add_bytes(&pieces, origin, lead);
    } else
        add_bytes(&pieces, origin, 0);
    add_text(&pieces, "\r\nVia: ");
    if (via != empty) {
        if (add_bytes(&pieces, via, 0))
            return NULL;
        add_text(&pieces, ", ");
    }
    add_text(&pieces, "1.1 heroku-router\r\nX-Request-Start: ");
    if (add_bytes(&pieces, stamp, 0))
        return NULL;
    add_text(&pieces, "\r\n\r\n");
    return joined(&pieces);
}

/* The head that the client gets, and behind it what came behind the dyno's: one piece, since most answers are small. */
static PyObject *client_head(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    Pieces pieces = {.count = 0, .size = 0};
    if (count != 5 || !Py_IS_TYPE(args[0], response_shape.type)) {
        PyErr_SetString(PyExc_TypeError, "a head, whether to keep, whether in chunks, a line and the body are needed");
        return NULL;
    }
    PyObject *head = args[0], *via = *slot(head, response_at[A_VIA]), *minor = *slot(head, response_at[A_MINOR]);
    int old = minor == NULL ? -1 : PyObject_Not(minor);
    if (old < 0)
        return PyErr_Occurred() ? NULL : (PyErr_SetString(PyExc_TypeError, "no version"), NULL);
    if (old)
        add_text(&pieces, "HTTP/1.1");
    if (add_bytes(&pieces, *slot(head, response_at[A_START]), old ? 8 : 0) || add_bytes(&pieces, *slot(head, response_at[A_LINES]), 0))
        return NULL;
    if (args[2] == Py_True)
        add_text(&pieces, "\r\nTransfer-Encoding: chunked");
    add_text(&pieces, args[1] == Py_True ? "\r\nConnection: keep-alive" : "\r\nConnection: close");
    if (*slot(head, response_at[A_HAS_SERVER]) != Py_True)
        add_text(&pieces, "\r\nServer: Heroku");
    add_text(&pieces, "\r\nVia: ");
    if (via != empty) {
        if (add_bytes(&pieces, via, 0))
            return NULL;
        add_text(&pieces, ", ");
    }
    add_text(&pieces, "1.1 heroku-router\r\n");
    if (add_bytes(&pieces, args[3], 0))
        return NULL;
    add_text(&pieces, "\r\n");
    if (add_bytes(&pieces, args[4], 0))
        return NULL;
    return joined(&pieces);
}

static PyMethodDef methods[] = {
    {"learn", (PyCFunction)(void (*)(void))learn_shapes, METH_FASTCALL, "Take the classes of heads."},
    {"read_request", read_request, METH_O, "Read one whole head; None: ask Python."},
    {"read_response", read_response, METH_O, "Read the head that these bytes begin with; None: ask Python."},
    {"dyno_head", (PyCFunction)(void (*)(void))dyno_head, METH_FASTCALL, "headers.dyno_head"},
    {"client_head", (PyCFunction)(void (*)(void))client_head, METH_FASTCALL, "headers.client_head"},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "router_heads", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_router_heads(void)
{
    fill_kinds();
    PyObject *made = PyModule_Create(&module);
    if (made == NULL)
        return NULL;
    empty = PyBytes_FromStringAndSize(NULL, 0); /* the one empty bytes object there is */
    chunked_length = PyLong_FromLong(-1);       /* headers.CHUNKED; small numbers are one object each */
    if (empty == NULL || chunked_length == NULL || PyModule_AddIntConstant(made, "VERSION", VERSION)) {
        Py_DECREF(made);
        return NULL;
    }
    return made;
}
