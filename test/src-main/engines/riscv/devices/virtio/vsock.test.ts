/** Stream sockets as the guest's driver sees them: connections both ways, credit, and lies. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import {
  connectionsMax,
} from '../../../../../../src-main/engines/riscv/devices/vsock/switchboard.ts';
import { roomBytes } from '../../../../../../src-main/engines/riscv/devices/vsock/connection.ts';
import { op, shutdown } from '../../../../../../src-main/engines/riscv/devices/vsock/packet.ts';
import type {
  GuestStream, HostStream, SocketPort,
} from '../../../../../../src-main/engines/riscv/ports.ts'; // prettier-ignore
import { generator, pick } from '../../../../../isa/random.ts';
import { Guest } from '../vsock/guest.ts';

/** A program of the host whose end is here: what it was sent, in words, and its stream. */
class Program implements HostStream {
  readonly told: string[] = [];
  guest!: GuestStream;
  /** What it has not read yet. */
  unread: (() => void)[] = [];
  reads = true;
  isOpen = true;

  join(guest: GuestStream): void {
    this.guest = guest;
  }
  accepted(hostPort: number): void {
    this.told.push(hostPort >= 1 << 30 ? 'accepted' : `accepted on ${hostPort}`);
  }
  write(bytes: Uint8Array, passed: () => void): void {
    this.told.push(Buffer.from(bytes).toString('latin1'));
    if (this.reads) passed();
    else this.unread.push(passed);
  }
  end(): void {
    this.told.push('end');
  }
  resume(): void {
    this.told.push('resume');
  }
  close(): void {
    this.told.push('close');
    this.isOpen = false;
  }
  leave(): void {
    this.isOpen = false;
    this.guest.close();
  }
}

/** A host with a program behind every port that the guest asks for. */
function world({ listens = true } = {}) {
  const programs: Program[] = [];
  const asked: number[] = [];
  let onConnect: Parameters<SocketPort['onConnect']>[0] = () => null;
  const guest = new Guest({
    connect: (hostPort) => {
      asked.push(hostPort);
      if (!listens) return null;
      programs.push(new Program());
      return programs.at(-1)!;
    },
    onConnect: (listener) => {
      onConnect = listener;
    },
  });
  const connect = (guestPort: number) => {
    const program = new Program();
    const stream = onConnect(guestPort, program);
    if (stream) program.join(stream);
    return stream ? program : null;
  };
  return { guest, programs, asked, connect };
}

const ports = { guestPort: 1024, hostPort: 52 };
const text = (words: string) => Buffer.from(words);

/** A connection that the guest has asked for and the program has taken. */
function opened(options = {}) {
  const made = world(options);
  made.guest.say({ ...ports, op: op.request });
  const program = made.programs[0]!;
  program.guest.accept();
  assert.deepEqual(made.guest.heard().map((packet) => packet.op), [op.response]);
  return { ...made, program };
}

test('the guest has the address that its configuration says, and one feature', () => {
  const { registers } = world().guest;
  assert.equal(registers.load(0x08, 4), 19);
  assert.deepEqual([registers.load(0x100, 4), registers.load(0x104, 4)], [3, 0]);
  assert.equal(registers.load(0x10, 4) & 0xff, 1);
});

test('it connects to a program of the host, talks with it, and both end in order', () => {
  const { guest, program, asked } = opened();
  assert.deepEqual(asked, [52]);
  guest.say({ ...ports, op: op.data, data: text('question') });
  program.guest.write(text('answer'));
  const [answer] = guest.heard();
  assert.deepEqual([answer!.op, answer!.text, answer!.guestPort], [op.data, 'answer', 1024]);
  guest.say({ ...ports, op: op.shutdown, flags: shutdown.send });
  program.guest.write(text('last'));
  program.guest.end();
  program.guest.close();
  const rest = guest.heard().map((packet) => [packet.op, packet.text || packet.flags]);
  assert.deepEqual(rest, [[op.data, 'last'], [op.shutdown, shutdown.send], [op.reset, 0]]);
  assert.deepEqual(program.told, ['question', 'end']);
});

test('a program that refuses, or is not there, is a reset', () => {
  const refusing = world();
  refusing.guest.say({ ...ports, op: op.request });
  refusing.programs[0]!.guest.close();
  assert.deepEqual(refusing.guest.heard().map((packet) => packet.op), [op.reset]);
  const nobody = world({ listens: false });
  nobody.guest.say({ ...ports, op: op.request });
  assert.deepEqual(nobody.guest.heard().map((packet) => packet.op), [op.reset]);
});

test('a program of the host connects to one of the guest, and may talk before it is heard', () => {
  const { guest, connect } = world();
  const program = connect(80)!;
  program.guest.write(text('early'));
  const [request, ...more] = guest.heard();
  assert.deepEqual([request!.op, request!.guestPort, more.length], [op.request, 80, 0]);
  guest.say({ ...request!, op: op.response, room: 1000 });
  assert.deepEqual(guest.heard().map((packet) => packet.text), ['early']);
  assert.deepEqual(program.told, ['accepted']);
  guest.say({ ...request!, op: op.reset });
  assert.deepEqual(program.told, ['accepted', 'close']);
  assert.deepEqual(guest.heard(), []);
});

test('without a driver nobody can connect to the guest', () => {
  const { guest, connect } = world();
  guest.registers.store(0x70, 4, 0);
  assert.equal(connect(80), null);
});

test('the guest is sent no more than it has room for, and the program waits', () => {
  const { guest, program } = opened();
  guest.say({ ...ports, op: op.creditUpdate, room: 10_000 });
  assert.equal(program.guest.write(new Uint8Array(70_000)), false);
  const sent = () => guest.heard().reduce((sum, packet) => sum + packet.text.length, 0);
  assert.equal(sent(), 10_000);
  assert.equal(sent(), 0);
  guest.say({ ...ports, op: op.creditUpdate, room: 10_000, passedOn: 4000 });
  assert.equal(sent(), 4000);
  assert.deepEqual(program.told, ['resume']);
  for (const lie of [{ passedOn: 20_000 }, { passedOn: 0xffff_ffff }, { room: 0 }]) {
    guest.say({ ...ports, op: op.creditUpdate, room: 10_000, ...lie });
    assert.ok(sent() <= 10_000);
  }
});

test('what the guest may send is told it anew as the program reads', () => {
  const { guest, program } = opened();
  program.reads = false;
  const piece = new Uint8Array(1 << 16);
  for (let sent = 0; sent < roomBytes; sent += piece.length) {
    guest.say({ ...ports, op: op.data, data: piece });
  }
  assert.deepEqual(guest.heard(), []);
  for (const passed of program.unread) passed();
  const told = guest.heard().at(-1)!;
  assert.deepEqual([told.op, told.room, told.passedOn], [op.creditUpdate, roomBytes, roomBytes]);
  guest.say({ ...ports, op: op.creditRequest });
  assert.deepEqual(guest.heard().map((packet) => packet.op), [op.creditUpdate]);
});

test('a guest that sends more than it has credit for is cut off', () => {
  const { guest, program } = opened();
  program.reads = false;
  const piece = new Uint8Array(1 << 16);
  for (let n = 0; n < 5; n++) guest.say({ ...ports, op: op.data, data: piece });
  assert.equal(program.told.length, 5);
  assert.equal(program.told.at(-1), 'close');
  assert.deepEqual(guest.heard().map((packet) => packet.op), [op.reset]);
});

test('what makes no sense is a reset; what is not for us, or cut short, is dropped', () => {
  const { guest } = world();
  const answers = (said: object) => {
    guest.say({ ...ports, op: op.data, ...said });
    return guest.heard().map((packet) => packet.op);
  };
  const senseless = [{}, { op: 0 }, { op: 99 }, { op: op.request, type: 2 }, { op: op.response }];
  for (const said of senseless) {
    assert.deepEqual(answers(said), [op.reset], JSON.stringify(said));
  }
  const dropped = [{ op: op.reset }, { from: 4 }, { to: 5 }, { length: 1 }, { length: 2 ** 31 }];
  for (const said of dropped) {
    assert.deepEqual(answers(said), [], JSON.stringify(said));
  }
  guest.sayBytes(new Uint8Array(7));
  assert.deepEqual(guest.heard(), []);
});

test('a second request for the same two ports ends the first', () => {
  const { guest, program, asked } = opened();
  guest.say({ ...ports, op: op.request });
  assert.deepEqual(guest.heard().map((packet) => packet.op), [op.reset]);
  assert.deepEqual([program.told, asked], [['close'], [52]]);
});

test('a flood of requests that takes no answer costs no more than its limit', () => {
  const { guest, programs, connect } = world();
  for (let n = 0; n < 5000; n++) guest.say({ guestPort: n, hostPort: 9, op: op.request });
  assert.equal(programs.length, connectionsMax);
  assert.equal(connect(80), null);
  assert.ok(guest.heard().length < 1000);
  for (let n = 0; n < connectionsMax; n++) {
    guest.say({ guestPort: n, hostPort: 9, op: op.reset });
  }
  guest.heard();
  assert.ok(connect(80), 'there is room again');
});

test('a driver that begins anew has lost all; after a restore it is told so', () => {
  const { guest, program } = opened();
  guest.registers.store(0x70, 4, 0);
  guest.device.service();
  assert.deepEqual(program.told, ['close']);
  guest.begin();
  assert.deepEqual(guest.heard(), []);
  assert.deepEqual(guest.events(), []);
  guest.device.restore();
  guest.device.service();
  guest.device.service();
  assert.deepEqual(guest.events(), [0]);
});

test('anything that a guest says leaves the host with no more than its limits', () => {
  const random = generator(Number(process.env['NYMPH_SEED'] ?? 1));
  const { guest, programs, connect } = world();
  const open = () => programs.filter(({ isOpen }) => isOpen).length;
  for (let n = 0; n < 20_000; n++) {
    const any = () => random(0x1_0000_0000);
    guest.say({
      guestPort: random(8),
      hostPort: random(4),
      op: random(4) === 0 ? random(9) : pick(random, [op.request, op.data, op.creditUpdate]),
      flags: random(5),
      room: random(3) === 0 ? any() : random(5000),
      passedOn: random(3) === 0 ? any() : random(5000),
      type: random(30) === 0 ? any() & 0xffff : 1,
      data: new Uint8Array(random(300)),
      ...(random(30) === 0 ? { length: any() } : {}),
    });
    if (random(8) === 0) programs.push(...[connect(random(8))].filter((made) => made !== null));
    const program = programs.at(-1 - random(Math.min(8, programs.length)));
    const act = random(8);
    if (act < 3) program?.guest.accept();
    else if (act < 5) program?.guest.write(new Uint8Array(random(9000)));
    else if (act === 5) program?.guest.end();
    else if (act === 6) program?.leave();
    // Sometimes it does not look for long.
    if (random(20) > 0) continue;
    for (const packet of guest.heard()) {
      if (packet.op === op.request) guest.say({ ...packet, op: pick(random, [2, 2, 3, 9]) });
      else if (packet.op === op.data) guest.say({ ...packet, data: text(packet.text) });
    }
  }
  assert.ok(open() <= connectionsMax);
  assert.ok(programs.length > 1000 && programs.some(({ told }) => told.length > 3));
  assert.ok(programs.some(({ told }) => told[0] === 'accepted' && told.length > 1));
});
