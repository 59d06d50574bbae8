/**
 * All connections of one guest. What it says goes in by `take`; what it is to be told comes out by
 * `next`, one connection after another, as long as somebody is `waiting`.
 *
 * Must hold: a guest that asks for ever more costs no more than `connectionsMax` connections and
 * `resetsMax` answers that wait; beyond that it is refused, and then not answered.
 */
import type { HostStream, SocketPort } from '../../ports.ts';
import { Connection } from './connection.ts';
import { op, readPacket, streamType, writePacket, type Packet } from './packet.ts';

export const connectionsMax = 256;
const resetsMax = 512;
/** Ports of the host for connections that it begins, above those that programs have. */
const firstOwnPort = 1 << 30;

type Ports = { guestPort: number; hostPort: number };

export class Switchboard {
  private readonly port: SocketPort;
  private readonly onWaiting: () => void;
  private readonly connections = new Map<string, Connection>();
  private readonly ready = new Set<Connection>();
  private resets: Ports[] = [];
  private lastOwnPort = 0;

  /** `onWaiting` is called when there may be something for the guest. */
  constructor(port: SocketPort, onWaiting: () => void) {
    this.port = port;
    this.onWaiting = onWaiting;
  }

  get waiting(): boolean {
    return this.resets.length > 0 || this.ready.size > 0;
  }

  take(bytes: Uint8Array): void {
    const packet = readPacket(bytes);
    if (packet === null) return;
    const connection = this.connections.get(keyOf(packet));
    if (packet.type !== streamType) {
      connection?.cut();
      this.reset(packet);
    } else if (connection !== undefined) {
      if (!connection.take(packet)) this.reset(packet);
    } else if (packet.op !== op.request || !this.asked(packet)) this.reset(packet);
  }

  /** The next packet of at most so many bytes of data; only while somebody is `waiting`. */
  next(dataBytes: number): Uint8Array {
    const refused = this.resets.shift();
    if (refused !== undefined) {
      return writePacket({ ...refused, op: op.reset, flags: 0, room: 0, passedOn: 0 });
    }
    const [connection] = this.ready as Iterable<Connection>;
    // The others have their turn before it is there again.
    this.ready.delete(connection!);
    const packet = connection!.next(dataBytes);
    this.look(connection!);
    return packet;
  }

  /** A program of the host wants the guest's port; null when there are too many already. */
  connect(guestPort: number, host: HostStream): Connection | null {
    if (this.connections.size >= connectionsMax) return null;
    // No two connections are of the same two ports.
    let ports: Ports;
    do {
      this.lastOwnPort = (this.lastOwnPort + 1) % firstOwnPort;
      ports = { guestPort, hostPort: firstOwnPort + this.lastOwnPort };
    } while (this.connections.has(keyOf(ports)));
    const connection = new Connection(ports, 'asking', host, (each) => this.look(each));
    this.connections.set(keyOf(ports), connection);
    this.look(connection);
    return connection;
  }

  /** The guest has forgotten all of them, or is to. */
  drop(): void {
    this.resets = [];
    for (const connection of [...this.connections.values()]) connection.cut();
  }

  private asked(packet: Packet): boolean {
    if (this.connections.size >= connectionsMax) return false;
    const host = this.port.connect(packet.hostPort, packet.guestPort);
    if (host === null) return false;
    const connection = new Connection(packet, 'asked', host, (each) => this.look(each));
    this.connections.set(keyOf(packet), connection);
    connection.hear(packet);
    host.join(connection);
    return true;
  }

  private look(connection: Connection): void {
    if (connection.over) this.connections.delete(keyOf(connection));
    if (!connection.ready) this.ready.delete(connection);
    else {
      this.ready.add(connection);
      this.onWaiting();
    }
  }

  private reset({ guestPort, hostPort, op: what }: Packet): void {
    // A reset is not answered: two sides that do would never end.
    if (what !== op.reset && this.resets.length < resetsMax) {
      this.resets.push({ guestPort, hostPort });
    }
  }
}

function keyOf({ guestPort, hostPort }: Ports): string {
  return `${guestPort} ${hostPort}`;
}
