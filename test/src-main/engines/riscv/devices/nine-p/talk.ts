/** Speaks 9P2000.L with a server by hand: requests as fields, answers as a reader or an error. */
import assert from 'node:assert/strict';
import {
  Reader, Writer, type,
} from '../../../../../../src-main/engines/riscv/devices/nine-p/message.ts';
import { NinePServer } from '../../../../../../src-main/engines/riscv/devices/nine-p/server.ts';

const room = 1 << 17;

export class Talk {
  readonly server: NinePServer;

  constructor(server: NinePServer, { anew = true } = {}) {
    this.server = server;
    if (!anew) return;
    this.ask(type.version, (to) => to.u32(room).text('9P2000.L'));
    this.ask(type.attach, (to) => to.u32(0).u32(0xffffffff).text('root').text('').u32(0));
  }

  /** The answer's fields, or Linux's number of the error. */
  try(kind: number, write: (to: Writer) => unknown): Reader | number {
    const to = new Writer();
    write(to);
    const reply = this.server.answer(to.done(kind, 7), room);
    const from = new Reader(reply);
    assert.equal(from.u32(), reply.length);
    const answered = from.u8();
    assert.equal(from.u16(), 7);
    if (answered === type.error + 1) return from.u32();
    assert.equal(answered, kind + 1);
    return from;
  }

  ask(kind: number, write: (to: Writer) => unknown): Reader {
    const answer = this.try(kind, write);
    assert.ok(typeof answer !== 'number', `error ${String(answer)}`);
    return answer;
  }

  /** A new fid for a path from another one; the number of names that were there, or an error. */
  walk(from: number, to: number, ...names: string[]): number | { walked: number } {
    const answer = this.try(type.walk, (message) => {
      message.u32(from).u32(to).u16(names.length);
      for (const name of names) message.text(name);
    });
    return typeof answer === 'number' ? answer : { walked: answer.u16() };
  }

  open(fid: number, flags = 0): Reader | number {
    return this.try(type.lopen, (to) => to.u32(fid).u32(flags));
  }

  read(fid: number, offset = 0n, count = 4096): string {
    const from = this.ask(type.read, (to) => to.u32(fid).u64(offset).u32(count));
    return new TextDecoder().decode(from.data(from.u32()));
  }

  write(fid: number, text: string): Reader | number {
    const bytes = new TextEncoder().encode(text);
    return this.try(type.write, (to) => to.u32(fid).u64(0n).u32(bytes.length).data(bytes));
  }

  names(fid: number): string[] {
    const from = this.ask(type.readdir, (to) => to.u32(fid).u64(0n).u32(65536));
    const list = new Reader(from.data(from.u32()));
    const names: string[] = [];
    for (;;) {
      try {
        list.data(13 + 8 + 1);
      } catch {
        return names.sort();
      }
      names.push(list.text());
    }
  }
}
