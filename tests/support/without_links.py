#!/usr/bin/env python3
"""Runs a program that may make no hard link, as on FAT: without_links.py PROGRAM ARGS. With STRONGROOM_WITHOUT=rename there is no
renaming that replaces nothing either, as where a program makes the file system."""
import ctypes, os, platform, struct, sys

LINK, LINKAT, RENAMEAT2 = {'x86_64': (86, 265, 316), 'aarch64': (None, 37, 276)}[platform.machine()]
EPERM, EINVAL = 1, 22
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06  # of the kernel's BPF
FLAGS = 16 + 4 * 8  # where the fifth argument of a call is

program = []
for number in (LINK, LINKAT):
    if number is not None:
        program += [(LOAD, 0, 0, 0), (EQUAL, 0, 1, number), (RETURN, 0, 0, ERRNO | EPERM)]
if os.environ.get('STRONGROOM_WITHOUT') == 'rename':
    program += [(LOAD, 0, 0, 0), (EQUAL, 0, 3, RENAMEAT2), (LOAD, 0, 0, FLAGS), (ANY_BIT, 0, 1, 1), (RETURN, 0, 0, ERRNO | EINVAL)]
program.append((RETURN, 0, 0, ALLOW))

filters = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *one) for one in program))
whole = ctypes.create_string_buffer(struct.pack('HP', len(program), ctypes.addressof(filters)))
prctl = ctypes.CDLL(None, use_errno=True).prctl
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, FILTER = 38, 22, 2
prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
if prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(PR_SET_SECCOMP, FILTER, ctypes.addressof(whole), 0, 0):
    sys.exit(f'without_links: {os.strerror(ctypes.get_errno())}')
os.execvp(sys.argv[1], sys.argv[1:])
