/**
 * echo: how long a key takes to come back from a shell while another machine floods its console
 * and somebody reads that flood, at the 95th percentile. The flood has a reader in a process of its
 * own (the command line), as another window would be. The same without the flood is in the samples.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import type { Row } from './measure.ts';
import { Shell } from './shell.ts';
import { openWorld, type World } from './world.ts';

const program = join(import.meta.dirname, '../../src-main/shells/cli/main.ts');
const keysPerRound = 100;
const patienceMs = 10_000;
/** So much of it makes it a flood. */
const floodBytes = 64 << 10;

export const echo: Row = {
  name: 'echo',
  goal: { atMost: 50 },
  unit: ' ms',
  how: 'a key’s echo while another machine floods its console, 95th percentile',
  obstacle: () => undefined,
  async run({ rounds = 3, say }) {
    const world = await openWorld();
    let flood: ChildProcess | undefined;
    try {
      for (const name of ['quiet', 'noisy']) {
        await world.make(name);
        await world.start(name);
      }
      const shell = await Shell.open(world.client, 'quiet');
      const alone = await typeMany(shell, rounds * keysPerRound);
      flood = await startFlood(world);
      const flooded = await typeMany(shell, rounds * keysPerRound);
      const [without, value] = [alone, flooded].map(percentile95);
      say(`95th percentile: ${value!.toFixed(1)} ms; without the flood ${without!.toFixed(1)} ms`);
      return { value: value!, samples: { flooded, alone } };
    } finally {
      flood?.kill('SIGKILL');
      await world.close();
    }
  },
};

/** Milliseconds from each key to its echo. */
async function typeMany(shell: Shell, count: number): Promise<number[]> {
  const times: number[] = [];
  for (let index = 0; index < count; index += 1) {
    // A line that grows would be drawn anew by the shell's own editor.
    if (index % 20 === 0) await shell.say('\x03', '# ');
    const key = 'abcdefghij'[index % 10]!;
    const began = performance.now();
    await shell.say(key, key);
    times.push(performance.now() - began);
  }
  return times;
}

/** Settles when the flood has reached its reader. */
async function startFlood(world: World): Promise<ChildProcess> {
  const shell = await Shell.open(world.client, 'noisy');
  await shell.say('yes\r', 'y\r\ny\r\n');
  shell.close();
  const child = spawn(process.execPath, [program, 'console', 'noisy'], {
    env: { ...process.env, NYMPH_HOME: world.home },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  await new Promise<void>((resolve, reject) => {
    const failed = () => reject(new Error('the flood did not begin'));
    const late = setTimeout(failed, patienceMs);
    let bytes = 0;
    child.stdout!.on('data', (part: Buffer) => {
      bytes += part.length;
      if (bytes > floodBytes) (clearTimeout(late), resolve());
    });
  });
  return child;
}

function percentile95(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b);
  return sorted[Math.ceil(sorted.length * 0.95) - 1]!;
}
