/* Steps of a TLS handshake for which Python costs more than OpenSSL: as hands.py and tickets.py have them. Optional: Python does them where
 * this was not compiled, or where Python's _ssl does not look as it does here, which `fits` says and hands.py asks for first.
 *
 * OpenSSL is the one that _ssl has loaded; its headers are not needed, since all that is passed are pointers. Its queue of errors is empty
 * before and after each call here, as SSL_get_error(3) wants it, and so that nobody's fault is taken for another's. The lock is kept:
 * nothing here waits, and what OpenSSL calls back is Python.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <dlfcn.h>
#include <string.h>
#include <time.h>

enum { VERSION = 1, NAME = 16, IV = 16, ERROR_WANT_READ = 2, CLOSED = -1, WAITS = 0, DONE = 1, FAILED = -1, GOOD = 1 };

typedef struct { PyObject_HEAD void *ctx; } Context;                            /* the beginning of _ssl._SSLContext */
typedef struct { PyObject_HEAD PyObject *socket; void *ssl; PyObject *context; } Connection; /* and of _ssl._SSLSocket */
typedef int Sealer(void *ssl, unsigned char *name, unsigned char *iv, void *cipher, void *mac, int sealing);

static int (*do_handshake)(void *ssl), (*say_goodbye)(void *ssl), (*error_of)(const void *ssl, int result);
static void *(*context_of)(const void *ssl), (*clear_errors)(void);
static int (*chance)(unsigned char *to, int size), (*authenticate)(void *mac, const void *parameters);
static int (*encrypt)(void *context, const void *cipher, void *engine, const unsigned char *key, const unsigned char *iv);

static const struct { const char *library, *name; void *to; } needed[] = {
    {"libssl.so.3", "SSL_do_handshake", &do_handshake},
    {"libssl.so.3", "SSL_shutdown", &say_goodbye},
    {"libssl.so.3", "SSL_get_error", &error_of},
    {"libssl.so.3", "SSL_get_SSL_CTX", &context_of},
    {"libcrypto.so.3", "ERR_clear_error", &clear_errors},
    {"libcrypto.so.3", "RAND_bytes", &chance},
    {"libcrypto.so.3", "EVP_MAC_CTX_set_params", &authenticate},
    {"libcrypto.so.3", "EVP_EncryptInit_ex", &encrypt},
};
static PyObject *held; /* "_sslobj", where an ssl.SSLObject keeps its connection */
static PyTypeObject *connections;
static struct { unsigned char name[NAME]; const void *parameters, *cipher; const unsigned char *key; time_t until; } laid;
static Sealer *in_python;

static int reach(void)
{
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        void *library = dlopen(needed[i].library, RTLD_NOW | RTLD_NOLOAD); /* kept: this counts one more who has it */
        void *found = library == NULL ? NULL : dlsym(library, needed[i].name);
        if (found == NULL) {
            PyErr_Format(PyExc_ImportError, "no %s in %s", needed[i].name, needed[i].library);
            return -1;
        }
        memcpy(needed[i].to, &found, sizeof found);
    }
    return 0;
}

/* The SSL behind an ssl.SSLObject: NULL, with an exception, for anything else. */
static void *ssl_of(PyObject *object)
{
    PyObject *connection = PyObject_GetAttr(object, held);
    if (connection == NULL)
        return NULL;
    void *ssl = Py_TYPE(connection) == connections ? ((Connection *)connection)->ssl : NULL;
    Py_DECREF(connection); /* its object has it */
    if (ssl == NULL)
        PyErr_SetString(PyExc_TypeError, "a connection is needed");
    return ssl;
}

/* Whether a connection of this context looks as it does above; asked once, of one that was just made. */
static PyObject *fits(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2)
        return PyErr_Format(PyExc_TypeError, "a connection and its context are needed");
    PyObject *connection = PyObject_GetAttr(args[0], held);
    if (connection == NULL)
        return NULL;
    Connection *looks = (Connection *)connection;
    int fit = Py_TYPE(connection) == connections && looks->socket == NULL && looks->context == args[1] && looks->ssl != NULL
              && context_of(looks->ssl) == ((Context *)args[1])->ctx;
    Py_DECREF(connection);
    return PyBool_FromLong(fit);
}

static PyObject *shake(PyObject *module, PyObject *object)
{
    void *ssl = ssl_of(object);
    if (ssl == NULL)
        return NULL;
    clear_errors();
    int result = do_handshake(ssl), step = result == 1 ? DONE : error_of(ssl, result) == ERROR_WANT_READ ? WAITS : CLOSED;
    clear_errors();
    return PyLong_FromLong(step);
}

static PyObject *goodbye(PyObject *module, PyObject *object)
{
    void *ssl = ssl_of(object);
    if (ssl == NULL)
        return NULL;
    clear_errors();
    say_goodbye(ssl);
    clear_errors();
    Py_RETURN_NONE;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3). */
static int seal(void *ssl, unsigned char *name, unsigned char *iv, void *cipher, void *mac, int sealing)
{
    if (!sealing || time(NULL) >= laid.until)
        return in_python(ssl, name, iv, cipher, mac, sealing);
    memcpy(name, laid.name, NAME);
    int good = chance(iv, IV) == 1 && authenticate(mac, laid.parameters) == 1 && encrypt(cipher, laid.cipher, NULL, laid.key, iv) == 1;
    return good ? GOOD : FAILED;
}

/* Where `seal` is, with this behind it: it has one set of keys, for one owner (hands.claim). */
static PyObject *sealer(PyObject *module, PyObject *pointer)
{
    void *slow = PyLong_AsVoidPtr(pointer);
    if (slow == NULL)
        return PyErr_Occurred() ? NULL : PyErr_Format(PyExc_ValueError, "a function is needed");
    memcpy(&in_python, &slow, sizeof slow);
    laid.until = 0;
    Sealer *quick = seal;
    void *found;
    memcpy(&found, &quick, sizeof found);
    return PyLong_FromVoidPtr(found);
}

/* Seal with this key until then; what the pointers lead to stays until another is laid. */
static PyObject *lay(PyObject *module, PyObject *args)
{
    const char *name;
    Py_ssize_t size;
    unsigned long long parameters, cipher, key;
    long long until;
    if (!PyArg_ParseTuple(args, "y#KKKL", &name, &size, &parameters, &cipher, &key, &until))
        return NULL;
    if (size != NAME)
        return PyErr_Format(PyExc_ValueError, "a key's name has %d bytes", NAME);
    memcpy(laid.name, name, NAME);
    laid.parameters = (const void *)(uintptr_t)parameters;
    laid.cipher = (const void *)(uintptr_t)cipher;
    laid.key = (const unsigned char *)(uintptr_t)key;
    laid.until = (time_t)until;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"fits", (PyCFunction)(void (*)(void))fits, METH_FASTCALL, "Whether a connection and its context are laid out as this was written for"},
    {"shake", shake, METH_O, "Go on with a handshake: 1 done, 0 the client is waited for, -1 it failed"},
    {"goodbye", goodbye, METH_O, "Say close_notify, and wait for none"},
    {"sealer", sealer, METH_O, "Where the quick sealer is, with a callback of Python's behind it"},
    {"lay", lay, METH_VARARGS, "Seal with a key: its name, parameters, cipher, bytes, and until when"},
    {NULL, NULL, 0, NULL},
};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "router_hands", NULL, -1, methods, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit_router_hands(void)
{
    PyObject *ssl = PyImport_ImportModule("_ssl");
    if (ssl == NULL)
        return NULL;
    connections = (PyTypeObject *)PyObject_GetAttrString(ssl, "_SSLSocket");
    Py_DECREF(ssl);
    held = PyUnicode_InternFromString("_sslobj");
    if (connections == NULL || held == NULL || reach())
        return NULL;
    PyObject *made = PyModule_Create(&module);
    if (made != NULL && PyModule_AddIntConstant(made, "VERSION", VERSION))
        Py_CLEAR(made);
    return made;
}
