/**
 * The machine's stream sockets as unix sockets in its run directory, by Firecracker's convention:
 *
 *   vsock        a program of the host connects, says `CONNECT PORT\n` and hears `OK PORT\n` once
 *                the guest has taken it; or the end, when nobody listens there
 *   vsock_PORT   where a program of the host listens for the guest's connections to CID 2
 *
 * Must hold: a number is all of a path that comes from the guest; at most `connectionsMax` sockets
 * are open, with those whose last bytes are on their way.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { VirtioVsock } from '../devices/virtio/vsock.ts';
import { connectionsMax } from '../devices/vsock/switchboard.ts';
import type { GuestStream, HostStream, SocketPort } from '../ports.ts';
import type { Make } from './plugs.ts';

const requestBytesMax = 32;
/** 2^32 - 1 means any port. */
const portMax = 2 ** 32 - 2;

type OnConnect = Parameters<SocketPort['onConnect']>[0];

export class SocketDoor implements SocketPort {
  private readonly path: string;
  private readonly sockets = new Set<Socket>();
  private listener: OnConnect = () => null;

  constructor(path: string) {
    this.path = path;
  }

  /** For each time that the machine is switched on; connections of before are over. */
  maker(): Make {
    return (wiring) => {
      for (const socket of this.sockets) socket.destroy();
      return new VirtioVsock(wiring, this);
    };
  }

  open(): Server {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      if (this.keep(socket)) takeRequest(socket, (...words) => this.ask(socket, ...words));
    });
    server.on('error', (error) => process.stderr.write(`vsock: ${error.message}\n`));
    server.listen(this.path);
    return server.unref();
  }

  connect(hostPort: number): HostStream | null {
    const socket = connect({ path: `${this.path}_${hostPort}`, allowHalfOpen: true });
    if (!this.keep(socket)) return null;
    return streamOf(socket, (guest) => socket.once('connect', () => guest.accept()));
  }

  onConnect(listener: OnConnect): void {
    this.listener = listener;
  }

  private ask(socket: Socket, port: number, rest: Uint8Array): void {
    const host = streamOf(socket, () => {});
    const guest = port <= portMax ? this.listener(port, host) : null;
    if (guest === null) return void socket.destroy();
    if (rest.length > 0) guest.write(rest);
    host.join(guest);
  }

  private keep(socket: Socket): boolean {
    socket.on('error', () => {});
    if (this.sockets.size >= connectionsMax) {
      socket.destroy();
      return false;
    }
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
    return true;
  }
}

function streamOf(socket: Socket, onJoin: (guest: GuestStream) => void): HostStream {
  return {
    join: (guest) => {
      onJoin(guest);
      socket.on('data', (bytes) => {
        if (!guest.write(bytes)) socket.pause();
      });
      socket.once('end', () => guest.end());
      socket.once('close', () => guest.close());
    },
    accepted: (hostPort) => void socket.write(`OK ${hostPort}\n`),
    write: (bytes, passed) => void socket.write(bytes, () => passed()),
    end: () => void socket.end(),
    resume: () => void socket.resume(),
    close: () => socket.destroySoon(),
  };
}

/** The line with which a program begins; what comes behind it is the guest's already. */
function takeRequest(socket: Socket, ask: (port: number, rest: Uint8Array) => void): void {
  let heard = Buffer.alloc(0);
  // Nothing more comes of a program that ends before it has asked.
  const leave = () => void socket.end();
  const take = (bytes: Buffer) => {
    heard = Buffer.concat([heard, bytes]);
    const end = heard.indexOf(10);
    if (end < 0 && heard.length <= requestBytesMax) return;
    socket.off('data', take).off('end', leave);
    const said = /^CONNECT (\d{1,10})\r?$/.exec(heard.toString('latin1', 0, end));
    if (end < 0 || said === null) return void socket.destroy();
    ask(Number(said[1]), heard.subarray(end + 1));
  };
  socket.on('data', take).once('end', leave);
}
