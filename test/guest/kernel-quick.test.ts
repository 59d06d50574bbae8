/**
 * What the edits of feature `quick` spare, seen without a clock: strace on the host shows which
 * calls a kernel and the processes of its programs make, and which faults they take, between two
 * words that a program in the guest says.
 */
import { after, before, test, type TestContext } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bootGuest, ourKernel, scratch, type Guest, type GuestFile } from './kernel-guest.ts';

const pages = 64;
/** Of what a stretch takes besides what it is about: its words, its stack, its first steps. */
const slack = 12;

const toucher = `
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile char *memory(int kind)
{
  return mmap(0, ${pages} * 4096, PROT_READ | PROT_WRITE, kind | MAP_ANONYMOUS, -1, 0);
}

static void say(const char *word)
{
  write(1, word, strlen(word));
}

int main(int count, char **words)
{
  const char *what = words[1];
  volatile char *at = memory(strcmp(what, "shared") ? MAP_PRIVATE : MAP_SHARED);
  int word = 1;

  if (!strcmp(what, "swap")) {
    syscall(SYS_futex, &word, 85, 2, 0, 0, 0);
    printf("SWAP %s\\n", errno == EAGAIN ? "known" : strerror(errno));
    return 0;
  }
  if (!strcmp(what, "shared"))
    for (int i = 0; i < ${pages}; i++)
      (void) at[i * 4096];
  if (!strcmp(what, "forked"))
    for (int i = 0; i < ${pages}; i++)
      at[i * 4096] = i;
  if (!strcmp(what, "forked") && fork()) {
    wait(0);
    /* The child's copies are its own. */
    for (int i = 0; i < ${pages}; i++)
      if (at[i * 4096] != i)
        return 1;
    say("SAME\\n");
    return 0;
  }
  say("FROM\\n");
  for (int i = 0; i < ${pages}; i++)
    at[i * 4096] = 100;
  say("TO\\n");
  return 0;
}
`;

/** Does as the process of an inner kernel's program: in the handler of a signal, it hands over. */
const turn = `
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { COUNT_AT = 8, CALLS_AT = 16, FUTEX_AT = 0xf8c, UNMAP = 2, FUTEX_TURN = 86 };

static char data[8192] __attribute__((aligned(4096)));
static void *page;
static volatile int refused;

static void hand_over(int signal, siginfo_t *info, void *context)
{
  struct { void *at; long length, offset; int fd, rights, call; } *call =
    (void *) (data + CALLS_AT);

  call->at = page;
  call->length = 4096;
  call->call = UNMAP;
  *(int *) (data + COUNT_AT) = 1;
  syscall(SYS_futex, data + FUTEX_AT, FUTEX_TURN, context, 0, 0, 0);
  refused = 1;
}

int main(void)
{
  struct sigaction action = { .sa_sigaction = hand_over, .sa_flags = SA_SIGINFO };
  unsigned char there;

  page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  sigaction(SIGUSR1, &action, 0);
  raise(SIGUSR1);
  printf("TURN %s, and the page is %s\\n", refused ? "refused" : "taken",
         mincore(page, 4096, &there) && errno == ENOMEM ? "gone" : "there");
  return 0;
}
`;

const place = mkdtempSync(join(tmpdir(), 'toucher-'));
let files: GuestFile[];
before(() => {
  files = Object.entries({ toucher, turn }).map(([path, source]) => {
    const program = join(place, path);
    writeFileSync(`${program}.c`, source);
    execFileSync('gcc', ['-static', '-O1', '-D_GNU_SOURCE', '-o', program, `${program}.c`]);
    return { path, bytes: readFileSync(program), mode: 0o755 };
  });
});
after(() => rmSync(place, { recursive: true, force: true }));

/** What the host saw of the guest between the lines FROM and TO of its console. */
async function seen(t: TestContext, script: string, ...calls: string[]): Promise<string[]> {
  const log = join(scratch(t), 'strace');
  const guest = bootGuest(t, await ourKernel('up'), {
    script,
    files,
    under: ['strace', '-f', '-qq', '-o', log, '-e', `trace=${['write', ...calls].join()}`],
    arguments: ['seccomp=on', 'quiet'],
  });
  const console = await guest.ended;
  const lines = readFileSync(log, 'utf8').split('\n');
  const from = lines.findIndex((line) => line.includes('write(') && line.includes('"FROM'));
  const to = lines.findIndex((line) => line.includes('write(') && line.includes('"TO'));
  assert.ok(from >= 0 && to > from, `no stretch between FROM and TO on the console:\n${console}`);
  return lines.slice(from + 1, to).filter((line) => !line.includes(' write('));
}

const faults = (lines: string[]) => lines.filter((line) => line.includes('--- SIGSEGV')).length;

test('programs started one after the other share a few processes of the host', async (t) => {
  const starts = 'for i in 1 2 3 4 5 6 7 8; do /bin/busybox true; done';
  const lines = await seen(t, `${starts}\necho FROM\n${starts}\necho TO`, 'clone', 'clone3');
  // What the shell asks for is shown too, as a call of its own process; the kernel answers it. A
  // line may end behind the flags, to be resumed in another.
  const clones = lines.filter((line) => /clone3?\(/.test(line));
  const shells = clones.filter((line) => line.includes('CLONE_CHILD_SETTID'));
  assert.deepEqual([shells.length, clones.length], [8, 8], clones.join('\n'));
});

test('fresh memory is written with one fault for eight pages', async (t) => {
  const count = faults(await seen(t, '/toucher fresh'));
  assert.ok(count >= pages / 8 && count <= pages / 8 + slack, `${count} faults`);
});

test('memory shared by a fork is copied with one fault for eight pages', async (t) => {
  const count = faults(await seen(t, '/toucher forked'));
  assert.ok(count >= pages / 8 && count <= pages / 8 + slack, `${count} faults`);
});

test('shared memory that was read is written without a fault', async (t) => {
  const count = faults(await seen(t, '/toucher shared'));
  assert.ok(count <= slack, `${count} faults`);
});

test('what is mapped for a program is there at once', async (t) => {
  const lines = await seen(t, '/toucher fresh', 'mmap');
  const maps = lines.filter((line) => line.includes('mmap(') && line.includes('MAP_FIXED'));
  assert.ok(maps.length >= pages / 8, `${maps.length} maps`);
  assert.deepEqual(maps.filter((line) => !line.includes('MAP_POPULATE')), []);
});

test('no descriptor is sent to map memory of the guest', async (t) => {
  const lines = await seen(t, '/toucher fresh', 'mmap', 'sendmsg', 'recvmsg');
  assert.ok(lines.some((line) => line.includes('mmap(')));
  assert.deepEqual(lines.filter((line) => /(send|recv)msg\(/.test(line)), []);
});

test('a kernel and its programs ask to hand over in one call each', async (t) => {
  const lines = await seen(t, '/toucher fresh', 'futex');
  for (const operation of [/futex\([^,]+, (?:0x55|85)\b/, /futex\([^,]+, (?:0x56|86)\b/]) {
    assert.ok(lines.some((line) => operation.test(line)), lines.slice(0, 9).join('\n'));
  }
});

test('a kernel of ours knows how to hand over', async (t) => {
  const guest = bootGuest(t, await ourKernel('up'), { script: '/toucher swap', files });
  assert.equal(await guest.line('SWAP'), 'SWAP known');
});

test('a kernel of ours does what an inner one asks for, and returns to the program', async (t) => {
  const guest = bootGuest(t, await ourKernel('up'), { script: '/turn', files });
  assert.equal(await guest.line('TURN'), 'TURN taken, and the page is gone');
});

test('kept processes that the host has ended leave nothing open', async (t) => {
  const guest = bootGuest(t, await ourKernel('up'), {
    script: [
      'echo READY',
      'while read what; do',
      '  [ $what = run ] && for i in 1 2 3 4; do /bin/busybox true; done',
      '  echo DONE $what',
      'done',
    ].join('\n'),
    arguments: ['seccomp=on', 'quiet', 'con0=fd:0,fd:1'],
    input: true,
  });
  await guest.line('READY');
  const open = [];
  for (let round = 0; round < 5; round++) {
    await asked(guest, 'run', round);
    open.push(readdirSync(`/proc/${guest.process.pid}/fd`).length);
    const before = timeOfChildren(guest);
    await asked(guest, 'nothing', round);
    // Only the process of the shell has run meanwhile.
    for (const [pid, time] of timeOfChildren(guest)) {
      if (before.get(pid) === time) process.kill(pid, 'SIGKILL');
    }
  }
  assert.ok(open.at(-1)! <= open[1]! + 1, open.join(' '));
});

async function asked(guest: Guest, what: string, round: number): Promise<void> {
  guest.process.stdin!.write(`${what}\n`);
  const words = `DONE ${what}`;
  for (let said = 0; said <= round; ) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    said = guest.output().split(words).length - 1;
  }
}

/** Nanoseconds that each process of the kernel has run, with which nothing but it can tamper. */
function timeOfChildren(guest: Guest): Map<number, string> {
  const { pid } = guest.process;
  const pids = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ');
  const ran = (each: string) => readFileSync(`/proc/${each}/schedstat`, 'utf8').split(' ')[0]!;
  return new Map(pids.map((each) => [Number(each), ran(each)]));
}
