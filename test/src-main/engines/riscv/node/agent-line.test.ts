/** The agent's line over a port and a console: which of them has the word. */
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { AgentLine } from '../../../../../src-main/engines/riscv/node/agent-line.ts';
import { event, guestOf, openPort, queue } from '../devices/virtio/serial-driver.ts';

function guest() {
  let out = '';
  let listener: (bytes: Uint8Array) => void = () => {};
  const line = new AgentLine({
    write: (bytes) => void (out += Buffer.from(bytes).toString()),
    onInput: (given) => void (listener = given),
  });
  return {
    port: guestOf(line.portMaker()),
    console: guestOf(line.consoleMaker()),
    out: () => out,
    type: (text: string) => listener(Buffer.from(text)),
  };
}

test('a kernel without ports speaks by the console', () => {
  const { console, port, out, type } = guest();
  console.send(queue.consoleTransmit, Buffer.from('hello'));
  type('hello yourself');
  assert.equal(out(), 'hello');
  assert.equal(console.read(queue.consoleReceive), 'hello yourself');
  assert.equal(port.read(queue.receive), '');
});

test('once a program has the port open, nobody speaks in its place by the console', () => {
  const { console, port, out, type } = guest();
  openPort(port);
  console.send(queue.consoleTransmit, Buffer.from('it is me'));
  port.send(queue.transmit, Buffer.from('hello'));
  type('hello yourself');
  assert.equal(out(), 'hello');
  assert.equal(console.read(queue.consoleReceive), '');
  assert.equal(port.read(queue.receive), 'hello yourself');
  port.control(1, event.open, 0);
  console.send(queue.consoleTransmit, Buffer.from(' again'));
  assert.equal(out(), 'hello again');
});
