/**
 * The other end of a `DatagramClient`, as a kernel's management console is one: a socket at a path
 * that takes messages and answers to a path. It looks by itself every millisecond until `close`.
 */
import { rmSync } from 'node:fs';
import { checked, close, libc, linux } from '../../src-main/base/node/posix.ts';

export class DatagramPeer {
  readonly #fd: number;
  readonly #path: string;
  readonly #timer: NodeJS.Timeout;

  constructor(path: string, onMessage: (bytes: Uint8Array) => void) {
    this.#path = path;
    const socket = libc('int socket(int family, int type, int protocol)');
    const bind = libc('int bind(int fd, const void *name, uint32_t length)');
    const receive = libc('long recv(int fd, void *bytes, size_t size, int flags)');
    this.#fd = checked('socket', socket(linux.AF_UNIX, linux.SOCK_DGRAM | linux.SOCK_NONBLOCK, 0));
    const name = nameOf(path);
    checked('bind', bind(this.#fd, name, name.length));
    const arena = new Uint8Array(65_536);
    this.#timer = setInterval(() => {
      const size = receive(this.#fd, arena, arena.length, linux.MSG_DONTWAIT);
      if (size >= 0) onMessage(arena.slice(0, size));
    }, 1);
  }

  send(path: string, bytes: Uint8Array): void {
    const form = 'int fd, const void *bytes, size_t size, int flags, const void *name, uint32_t n';
    const call = libc(`long sendto(${form})`);
    const name = nameOf(path);
    checked('sendto', call(this.#fd, bytes, bytes.length, 0, name, name.length));
  }

  close(): void {
    clearInterval(this.#timer);
    close(this.#fd);
    rmSync(this.#path, { force: true });
  }
}

function nameOf(path: string): Uint8Array {
  return new Uint8Array([linux.AF_UNIX, 0, ...new TextEncoder().encode(path), 0]);
}
