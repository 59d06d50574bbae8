/** A port of virtio-serial as its driver sees it: it appears, is opened, and both sides talk. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { VirtioSerial } from '../../../../../../src-main/engines/riscv/devices/virtio/serial.ts';
import { event, guestOf, openPort, queue } from './serial-driver.ts';

function machine() {
  const out: string[] = [];
  let type: (bytes: Uint8Array) => void = () => {};
  const port = {
    full: false,
    write: (bytes: Uint8Array) => void out.push(Buffer.from(bytes).toString()),
    onInput: (listener: typeof type) => void (type = listener),
  };
  const guest = guestOf((wiring) => new VirtioSerial(wiring, port));
  const input = () => guest.read(queue.receive);
  return { ...guest, port, out, input, type: (text: string) => type(Buffer.from(text)) };
}

function opened() {
  const made = machine();
  openPort(made);
  return made;
}

test('its driver is told of one port, number 1, whose far end is open', () => {
  const { registers, device } = opened();
  assert.equal(registers.load(0x08, 4), 3);
  assert.equal(registers.load(0x104, 4), 2, 'ports at most');
  assert.equal(device.isOpen, true);
});

test('what is typed waits until a program has the port open', () => {
  const made = machine();
  made.type('early ');
  assert.equal(made.input(), '');
  made.control(1, event.open);
  made.type('late');
  assert.equal(made.input(), 'early late');
  made.control(1, event.open, 0);
  made.type('to nobody');
  assert.deepEqual([made.device.isOpen, made.input()], [false, '']);
});

test('what a program writes comes out, and waits while the line is full', () => {
  const { send, out, port, device } = opened();
  send(queue.transmit, Buffer.from('one '));
  port.full = true;
  send(queue.transmit, Buffer.from('two '));
  send(queue.transmit, Buffer.from('three'));
  assert.equal(out.join(''), 'one ');
  port.full = false;
  device.service();
  assert.equal(out.join(''), 'one two three');
});

test('a driver that begins anew has nothing open; a restored one has what it had', () => {
  const before = opened();
  const after = machine();
  after.device.restore(before.device.save());
  assert.equal(after.device.isOpen, true);
  after.type('on');
  assert.equal(after.input(), 'on');
  after.registers.store(0x70, 4, 0);
  after.device.service();
  assert.equal(after.device.isOpen, false);
  assert.throws(() => after.device.restore('nonsense'), { code: 'bad-input' });
});

test('a driver that begins anew between two services has nothing open either', () => {
  const made = opened();
  made.control(0xffff_ffff, event.ready);
  made.type('to nobody');
  assert.deepEqual([made.device.isOpen, made.input()], [false, '']);
});

test('words about other ports, cut short or of no meaning change nothing', () => {
  const { control, send, said, device } = opened();
  control(0, event.open, 0);
  control(7, event.portReady);
  control(1, 99);
  send(queue.toDevice, Buffer.from('cut'));
  assert.deepEqual([said(), device.isOpen], [[], true]);
});
