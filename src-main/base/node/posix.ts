/**
 * The handful of Linux calls that Node does not offer, through koffi: fifos, unix socket pairs
 * that keep message boundaries, and taking a file descriptor back out of another process.
 *
 * Every descriptor made here is close-on-exec and non-blocking; to give one to a child, name it
 * in the `stdio` list of `spawn`, which duplicates it. A call that fails throws `PosixError`,
 * shaped like Node's own system errors (`code: 'EPERM'`). Where koffi or Linux is missing every
 * function throws the Refusal 'unavailable' and nothing else happens. Pure data goes in and out;
 * no call here blocks.
 */
import { createRequire } from 'node:module';
import { arch, platform } from 'node:process';
import type koffiModule from 'koffi';
import { Refusal } from '../refusal.ts';

type Koffi = typeof koffiModule;

/** A failed system call; `code` is the errno name, as on Node's own system errors. */
export class PosixError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, errno: number, code: string) {
    super(`${syscall} failed with ${code}`);
    this.name = 'PosixError';
    this.syscall = syscall;
    this.errno = errno;
    this.code = code;
  }
}

/** Linux numbers that are the same on x86-64 and arm64. */
export const linux = {
  AF_UNIX: 1,
  SOCK_STREAM: 1,
  SOCK_DGRAM: 2,
  SOCK_SEQPACKET: 5,
  SOCK_NONBLOCK: 0o4000,
  SOCK_CLOEXEC: 0o2000000,
  SOL_SOCKET: 1,
  SO_SNDBUF: 7,
  SO_RCVBUF: 8,
  MSG_DONTWAIT: 0x40,
  MSG_NOSIGNAL: 0x4000,
  F_GETFL: 3,
  F_SETFL: 4,
  O_NONBLOCK: 0o4000,
  LOCK_EX: 2,
  LOCK_NB: 4,
  SYS_pidfd_open: 434,
  SYS_pidfd_getfd: 438,
} as const;

export type Call = (...args: unknown[]) => number;

let koffi: Koffi | Refusal | undefined;
const bound = new Map<string, Call>();

/** koffi itself, for a room that needs raw addresses. Throws Refusal 'unavailable'. */
export function loadKoffi(): Koffi {
  koffi ??= tryLoadKoffi();
  if (koffi instanceof Refusal) throw koffi;
  return koffi;
}

/** True where the functions of this file can work at all. */
export function posixAvailable(): boolean {
  koffi ??= tryLoadKoffi();
  return !(koffi instanceof Refusal);
}

/** Binds one libc function: `libc('int mkfifo(const char *path, uint32_t mode)')`. Kept. */
export function libc(definition: string): Call {
  let call = bound.get(definition);
  if (call === undefined) {
    call = loadKoffi().load(null).func(definition) as Call;
    bound.set(definition, call);
  }
  return call;
}

/** The errno of the last failed call on this thread, by name. */
export function errnoName(errno: number = loadKoffi().errno()): string {
  // EAGAIN and EWOULDBLOCK share a number on Linux; the first name is the one Node uses.
  for (const [name, value] of Object.entries(loadKoffi().os.errno)) {
    if (value === errno && name !== 'EWOULDBLOCK' && name !== 'EDEADLOCK') return name;
  }
  return `E${errno}`;
}

/** Passes a result through, or throws `PosixError` where it is negative. */
export function checked(syscall: string, result: number): number {
  if (result >= 0) return result;
  const errno = loadKoffi().errno();
  throw new PosixError(syscall, errno, errnoName(errno));
}

/** Makes a named pipe; throws EEXIST where something of that name is there. */
export function mkfifo(path: string, mode = 0o600): void {
  if (path.includes('\0')) throw new Refusal('usage', 'A path cannot contain a NUL character.');
  const call = libc('int mkfifo(const char *path, uint32_t mode)');
  checked('mkfifo', call(path, mode));
}

/** A pair for frames or requests: ordered, message boundaries kept, end of file on close. */
export function socketpairSeqpacket(options: { bufferBytes?: number } = {}): [number, number] {
  return socketpair(linux.SOCK_SEQPACKET, options.bufferBytes ?? 4 << 20);
}

/** As above without end of file: a datagram end never learns that the other one closed. */
export function socketpairDatagram(options: { bufferBytes?: number } = {}): [number, number] {
  return socketpair(linux.SOCK_DGRAM, options.bufferBytes ?? 4 << 20);
}

/** A descriptor that names a process for good, however often its number is used again. */
export function pidfdOpen(pid: number): number {
  return checked('pidfd_open', rawSyscall(linux.SYS_pidfd_open, pid, 0, 0));
}

/**
 * A copy of descriptor `fd` of the process behind `pidfd`. Needs what ptrace needs: the same
 * user, and where Yama restricts ptrace to descendants a target in a user namespace that this
 * user owns. Throws EPERM, or EBADF where the process has no such descriptor.
 */
export function pidfdGetfd(pidfd: number, fd: number): number {
  return checked('pidfd_getfd', rawSyscall(linux.SYS_pidfd_getfd, pidfd, fd, 0));
}

/**
 * Takes the exclusive lock of an open file; false when somebody else holds it. It goes with the
 * descriptor, so a holder that is killed can never leave it behind.
 */
export function tryLock(fd: number): boolean {
  for (;;) {
    const result = libc('int flock(int fd, int operation)')(fd, linux.LOCK_EX | linux.LOCK_NB);
    if (result === 0) return true;
    const code = errnoName();
    if (code === 'EAGAIN') return false;
    if (code !== 'EINTR') checked('flock', result);
  }
}

export function setNonblocking(fd: number, nonblocking = true): void {
  const call = libc('int fcntl(int fd, int command, long argument)');
  const flags = checked('fcntl', call(fd, linux.F_GETFL, 0));
  const wanted = nonblocking ? flags | linux.O_NONBLOCK : flags & ~linux.O_NONBLOCK;
  if (wanted !== flags) checked('fcntl', call(fd, linux.F_SETFL, wanted));
}

/** Asks for socket buffers of that size; the host's own limit (`wmem_max`) caps it silently. */
export function setSocketBuffers(fd: number, bytes: number): void {
  const call = libc('int setsockopt(int fd, int level, int name, const void *v, uint32_t n)');
  const value = new Uint8Array(new Int32Array([bytes]).buffer);
  checked('setsockopt', call(fd, linux.SOL_SOCKET, linux.SO_SNDBUF, value, 4));
  checked('setsockopt', call(fd, linux.SOL_SOCKET, linux.SO_RCVBUF, value, 4));
}

/** Closes a raw descriptor. EINTR counts as closed: on Linux the number is gone either way. */
export function close(fd: number): void {
  const result = libc('int close(int fd)')(fd);
  if (result < 0 && errnoName() === 'EBADF') checked('close', result);
}

function socketpair(type: number, bufferBytes: number): [number, number] {
  const call = libc('int socketpair(int family, int type, int protocol, void *fds)');
  const fds = new Int32Array(2);
  const flags = linux.SOCK_NONBLOCK | linux.SOCK_CLOEXEC;
  checked('socketpair', call(linux.AF_UNIX, type | flags, 0, fds));
  const [near, far] = [fds[0]!, fds[1]!];
  setSocketBuffers(near, bufferBytes);
  setSocketBuffers(far, bufferBytes);
  return [near, far];
}

function rawSyscall(number: number, a: number, b: number, c: number): number {
  return libc('long syscall(long number, long a, long b, long c)')(number, a, b, c);
}

function tryLoadKoffi(): Koffi | Refusal {
  if (platform !== 'linux' || (arch !== 'x64' && arch !== 'arm64')) {
    const host = `${platform} ${arch}`;
    return new Refusal('unavailable', `Direct system calls are not available on ${host}.`);
  }
  try {
    // By require, so that a missing native part is a refusal here and not a failed import there.
    return createRequire(import.meta.url)('koffi') as Koffi;
  } catch {
    return new Refusal('unavailable', 'The native call library (koffi) cannot be loaded here.');
  }
}
