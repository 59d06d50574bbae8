/**
 * The compiled agent itself, as an ordinary process on this host (`--stdio`), against the client:
 * everything but process 1 and the serial port.
 */
import { after, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AgentClient, type CommandRequest } from '../../../../src-main/guest/agent-client.ts';
import { encodeFrame, FrameReader, type Frame } from '../../../../src-main/guest/frames.ts';
import { encodeHost, type HostMessage } from '../../../../src-main/guest/protocol.ts';
import { realTimers, streamLine } from '../../../guest/agent-line.ts';
import { buildInitramfs } from '../../../../src-main/images/node/initramfs.ts';
import { Refusal } from '../../../../src-main/base/refusal.ts';

let folder: string;
let agentPath: string;
const ends: (() => void)[] = [];

before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'nymph-agent-'));
  ({ agentPath } = await buildInitramfs({ cache: folder }));
});
after(async () => {
  for (const end of ends) end();
  await rm(folder, { recursive: true, force: true });
});

function start() {
  const child = spawn(agentPath, ['--stdio'], { stdio: ['pipe', 'pipe', 'inherit'] });
  ends.push(() => child.kill('SIGKILL'));
  return child;
}

async function attached(nonce = 1) {
  const child = start();
  const client = new AgentClient(streamLine(child.stdout, child.stdin), {
    nonce,
    timers: realTimers,
  });
  ends.push(() => client.close());
  await client.ready(5000);
  return { client, child };
}

async function outcome(client: AgentClient, request: CommandRequest, input?: Uint8Array) {
  const parts = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  const session = client.exec({
    ...request,
    stdout: (bytes) => void parts.stdout.push(bytes),
    stderr: (bytes) => void parts.stderr.push(bytes),
  });
  if (input) void session.write(input).then(() => session.end());
  const ending = await session.exit;
  return { ending, stdout: Buffer.concat(parts.stdout), stderr: Buffer.concat(parts.stderr) };
}

const sh = (script: string): CommandRequest => ({ argv: ['/bin/sh', '-c', script] });

describe('the agent as a process', () => {
  it('answers a hello with the kernel, the machine and the version', async () => {
    const { client } = await attached();
    const hello = await client.hello(5000);
    assert.equal(hello.version, 1);
    assert.equal(hello.booted, true);
    assert.match(hello.release, /^\d+\.\d+/);
    assert.notEqual(hello.machine, '');
  });

  it('runs a command and keeps its output and its errors apart', async () => {
    const { client } = await attached();
    const { ending, stdout, stderr } = await outcome(client, sh('echo out; echo err >&2; exit 7'));
    assert.deepEqual(ending, { kind: 'exited', code: 7 });
    assert.equal(stdout.toString(), 'out\n');
    assert.equal(stderr.toString(), 'err\n');
  });

  it('finds a bare name in PATH and passes arguments, variables and the directory', async () => {
    const { client } = await attached();
    const { stdout } = await outcome(client, {
      argv: ['sh', '-c', 'echo "$1|$WORD|$(pwd)"', 'sh', 'a b\tü'],
      env: { WORD: 'x y' },
      cwd: '/usr',
    });
    assert.equal(stdout.toString(), 'a b\tü|x y|/usr\n');
  });

  it('carries 10 MB through a command unchanged', async () => {
    const { client } = await attached();
    const bytes = Buffer.alloc(10_000_000);
    for (let i = 0; i < bytes.length; i++) bytes[i] = (i * 2_654_435_761) >>> 24;
    const hash = createHash('sha256');
    const session = client.exec({ argv: ['cat'], stdout: (part) => void hash.update(part) });
    for (let at = 0; at < bytes.length; at += 65_536) {
      assert.equal(await session.write(bytes.subarray(at, at + 65_536)), true);
    }
    session.end();
    assert.deepEqual(await session.exit, { kind: 'exited', code: 0 });
    assert.equal(hash.digest('hex'), createHash('sha256').update(bytes).digest('hex'));
  });

  it('says which signal ended a command', async () => {
    const { client } = await attached();
    const session = client.exec(sh('sleep 100'));
    session.kill(15);
    assert.deepEqual(await session.exit, { kind: 'signaled', signal: 15 });
  });

  it('refuses a program that is not there, and one that may not be run', async () => {
    const { client } = await attached();
    await assert.rejects(client.exec({ argv: ['no-such-program'] }).exit, { code: 'not-found' });
    await assert.rejects(client.exec({ argv: ['/etc/passwd'] }).exit, { code: 'denied' });
    await assert.rejects(client.exec({ argv: ['ls'], cwd: '/nowhere' }).exit, (thrown: Refusal) => {
      return thrown.code === 'not-found' && /directory/.test(thrown.message);
    });
  });

  it('gives a command a terminal of the size that was asked, and resizes it', async () => {
    const { client } = await attached();
    let said = '';
    const session = client.exec({
      ...sh('stty size; trap "stty size; exit 3" WINCH; echo ready; while :; do sleep 0.01; done'),
      tty: { rows: 33, columns: 111 },
      stdout: (bytes) => {
        said += Buffer.from(bytes).toString();
        if (said.endsWith('ready\r\n')) session.resize({ rows: 44, columns: 99 });
      },
    });
    assert.deepEqual(await session.exit, { kind: 'exited', code: 3 });
    assert.equal(said, '33 111\r\nready\r\n44 99\r\n');
  });

  it('ends when the command ends, though a process it left holds its pipes', async () => {
    const { client } = await attached();
    const { ending, stdout } = await outcome(client, sh('sleep 3 & echo done'));
    assert.deepEqual(ending, { kind: 'exited', code: 0 });
    assert.equal(stdout.toString(), 'done\n');
  });

  it('lets a quiet command through while another floods a slow listener', async () => {
    const { client } = await attached();
    let flood = 0;
    const gate = Promise.withResolvers<void>();
    const flooding = client.exec({
      argv: ['yes'],
      stdout: (bytes) => {
        flood += bytes.length;
        return gate.promise;
      },
    });
    for (let i = 0; i < 5; i++) {
      assert.equal((await outcome(client, sh('echo hi'))).stdout.toString(), 'hi\n');
    }
    assert.ok(flood <= 131_072, 'the flood stops at its window');
    flooding.kill(9);
    gate.resolve();
    assert.deepEqual(await flooding.exit, { kind: 'signaled', signal: 9 });
  });

  it('tells a writer when the command reads no more', async () => {
    const { client } = await attached();
    const session = client.exec({ argv: ['true'] });
    await session.exit;
    assert.equal(await session.write(new Uint8Array(10)), false);
  });

  it('runs sixteen commands at once and refuses the next in plain words', async () => {
    const { client } = await attached();
    const all = Array.from({ length: 16 }, () => client.exec({ argv: ['cat'] }));
    assert.throws(() => client.exec({ argv: ['cat'] }), { code: 'no-space' });
    for (const each of all) each.end();
    for (const each of all) assert.deepEqual(await each.exit, { kind: 'exited', code: 0 });
  });

  it('samples what the machine uses', async () => {
    const { client } = await attached();
    const stats = await new Promise<import('../../../../src-main/guest/stats.ts').GuestStats>(
      (resolve) => {
        const stop = client.onStats(50, (sample) => {
          stop();
          resolve(sample);
        });
      },
    );
    assert.ok(stats.memory.totalBytes > stats.memory.freeBytes);
    assert.ok(stats.cpu.busyTicks > 0 && stats.cpu.count >= 1);
    assert.ok(stats.rootDisk.totalBytes > 0);
    assert.notEqual(stats.hostname, '');
  });

  it('answers a sync', async () => {
    const { client } = await attached();
    await client.sync(10_000);
  });
});

describe('a client that comes later', () => {
  it('joins in the middle of another one’s output; the old command is hung up', async () => {
    const { client, child } = await attached(1);
    client.exec({ argv: ['sh', '-c', 'trap "" TERM; cat /dev/zero'] });
    client.close(); // without a word, as if killed; half a frame is on the line
    child.stdin.write(encodeFrame(frame({ kind: 'sync', token: 1 }, 99)).subarray(0, 6));
    const next = new AgentClient(streamLine(child.stdout, child.stdin), {
      nonce: 2,
      timers: realTimers,
    });
    ends.push(() => next.close());
    await next.ready(5000);
    assert.equal((await outcome(next, sh('echo fresh'))).stdout.toString(), 'fresh\n');
  });

  it('is told when frames of its own got lost, and starts anew', async () => {
    const { client, child } = await attached(1);
    const session = client.exec({ argv: ['cat'] });
    child.stdin.write(encodeFrame(frame({ kind: 'stats', intervalMs: 0 }, 4711)));
    await assert.rejects(session.exit, { code: 'unavailable' });
    await client.ready(5000);
    assert.equal((await outcome(client, sh('echo again'))).stdout.toString(), 'again\n');
  });
});

describe('noise on the line', () => {
  it('is survived: random bytes and mutated frames, then a hello is answered', async () => {
    const child = start();
    const reader = new FrameReader();
    const frames: Frame[] = [];
    child.stdout.on('data', (bytes: Uint8Array) => frames.push(...reader.push(bytes)));
    let seed = 12_345;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
      return (seed >>> 8) % below;
    };
    for (let round = 0; round < 3000; round++) {
      // Every one is broken by a flipped bit: the checksum must catch each.
      const payload = Uint8Array.from({ length: random(80) }, () => random(256));
      const type = 1 + random(8);
      const bytes = encodeFrame({ type, session: random(4), sequence: round, payload });
      const at = random(bytes.length);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
      child.stdin.write(bytes);
    }
    child.stdin.write(encodeFrame(frame({ kind: 'hello', nonce: 77 }, 1)));
    const client = new AgentClient(streamLine(child.stdout, child.stdin), {
      nonce: 78,
      timers: realTimers,
    });
    ends.push(() => client.close());
    const { machine, booted } = await client.hello(5000);
    assert.ok(machine.length > 0 && booted);
  });

  it('is survived as well when the frames are whole and their content is not', async () => {
    const { client, child } = await attached();
    let sequence = 1000;
    child.stdin.write(encodeFrame(frame({ kind: 'hello', nonce: 9 }, sequence)));
    for (const type of [2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 200]) {
      for (const length of [0, 1, 3, 4, 5, 12, 13, 14, 60]) {
        sequence++;
        const payload = new Uint8Array(length).fill(type === 9 ? 9 : 0xff);
        child.stdin.write(encodeFrame({ type, session: 5, sequence, payload }));
      }
    }
    await client.hello(5000).catch(() => {});
    assert.equal((await client.ready(5000)).version, 1);
  });
});

function frame(message: HostMessage, sequence: number): Frame {
  return { ...encodeHost(message), sequence };
}
