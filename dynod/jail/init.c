/* PID 1 of a dyno, small: what init.py does, in 50 KB of its own instead of 2.7 MB. init.py hands over by exec.
 *
 * dyno-init MAIN STATUS: forward signals to every process, reap, and when MAIN has ended write its status to the
 * descriptor STATUS and end with it. All signals come blocked, and are taken one by one. Its file may be read by
 * root alone, so that for the kernel this process is as unreadable, from its first moment, as it was before.
 *
 * dyno-init DOOR: be a holder (idmap.py), which waits in its user namespace until the host hangs up.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Bury whoever has ended, orphans too; give the status of `main_pid` if it is among them, else -1. */
static int reap(pid_t main_pid)
{
    int code, status = -1;
    pid_t pid;

    while ((pid = waitpid(-1, &code, WNOHANG)) > 0)
        if (pid == main_pid)
            status = WIFSIGNALED(code) ? 128 + WTERMSIG(code) : WEXITSTATUS(code);
    return status;
}

int main(int argc, char **argv)
{
    sigset_t all;
    pid_t main_pid;
    int status_fd;

    if (argc == 2) {
        char word;

        prctl(PR_SET_NAME, "dynod-holder", 0, 0, 0);
        return read(atoi(argv[1]), &word, 1) != 0;
    }
    if (argc != 3)
        return 2;
    main_pid = atoi(argv[1]);
    status_fd = atoi(argv[2]);
    memset(argv[1], 0, strlen(argv[1]));
    memset(argv[2], 0, strlen(argv[2]));
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    prctl(PR_SET_NAME, "dyno-init", 0, 0, 0);
    sigfillset(&all);
    for (;;) {
        int status, got = sigwaitinfo(&all, NULL);

        if (got == SIGCHLD) {
            if ((status = reap(main_pid)) >= 0) {
                char text[16];
                int length = snprintf(text, sizeof text, "%d\n", status);

                if (write(status_fd, text, length) != length)
                    return 1; /* without a status the host takes it for killed */
                return status;
            }
        } else if (got > 0) {
            kill(-1, got); /* every process of this pid namespace but ourselves */
        }
    }
}
