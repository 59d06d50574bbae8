/** Figures from the text of a guest’s kernel, friendly and hostile. */
import { describe, it } from 'node:test';
import assert from 'node:assert/strict';
import { parseStats } from '../../../src-main/guest/stats.ts';

const sample = new Map([
  [1, 'MemTotal:  1000 kB\nMemFree:  400 kB\nMemAvailable: 700 kB\nBuffers: 10 kB\n' +
    'Cached: 90 kB\n'],
  [2, 'cpu  10 1 5 100 20 2 3 4 0 0\ncpu0 5 0 3 50 10 1 1 2 0 0\ncpu1 5 1 2 50 10 1 2 2 0 0\n'],
  [3, '0.50 0.25 0.10 1/40 99\n'],
  [4, '  98 0 ubda 10 0 80 5 20 0 160 9 0 1 2\n 7 0 loop0 1 1 1 1 1 1 1 1 1 1 1\n'],
  [5, 'Inter-|   Receive\n face |bytes\n  lo: 1 1 0 0 0 0 0 0 1 1 0\n' +
    '  vec0: 1500 10 0 0 0 0 0 0 900 7 0 0 0 0 0 0\n'],
  [6, '12.34 11.00\n'],
  [7, 'web'],
  [8, 'lo 127.0.0.1\nvec0 10.0.0.7\n'],
  [9, 'fe800000000000000000000000000001 02 40 20 80     vec0\n' +
    '00000000000000000000000000000001 01 80 10 80       lo\n'],
  [10, 'ID=x\nPRETTY_NAME="Tiny Linux"\n'],
  [11, '4096 1000 600 500 '],
]);

describe('a sample of figures', () => {
  it('is read from the kernel’s own text', () => {
    assert.deepEqual(parseStats(sample), {
      memory: { totalBytes: 1_024_000, freeBytes: 409_600, availableBytes: 716_800,
        cachedBytes: 102_400 },
      cpu: { busyTicks: 25, idleTicks: 120, count: 2 },
      load: [0.5, 0.25, 0.1],
      disks: [{ name: 'ubda', reads: 10, readBytes: 40_960, writes: 20, writtenBytes: 81_920 }],
      networks: [{ name: 'vec0', receivedBytes: 1500, sentBytes: 900,
        addresses: ['10.0.0.7', 'fe80::1'] }],
      uptimeSeconds: 12.34,
      hostname: 'web',
      system: 'Tiny Linux',
      rootDisk: { totalBytes: 4_096_000, freeBytes: 2_457_600, availableBytes: 2_048_000 },
    });
  });

  it('is all zeros when the guest sends nothing', () => {
    const empty = parseStats(new Map());
    assert.equal(empty.memory.totalBytes, 0);
    assert.deepEqual(empty.disks, []);
    assert.equal(empty.cpu.count, 1);
  });

  it('has names without control characters and lists with an end', () => {
    const hostile = parseStats(new Map([
      [7, '\u001b[2Jevil\u0007'.padEnd(500, 'x')],
      [4, Array.from({ length: 400 }, (_, i) => `1 ${i} d${i} 1 1 1 1 1 1 1 1 1 1 1`).join('\n')],
    ]));
    assert.equal(hostile.hostname.length, 64);
    assert.ok(hostile.hostname.startsWith('[2Jevilx'));
    assert.equal(hostile.disks.length, 64);
  });

  it('has finite numbers, not negative ones, whatever the text: 20,000 mutations', () => {
    let seed = 3;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0;
      return Math.floor((seed / 2 ** 32) * below);
    };
    const check = (value: unknown): void => {
      if (typeof value === 'number') assert.ok(Number.isFinite(value) && value >= 0);
      else if (typeof value === 'object' && value !== null) Object.values(value).forEach(check);
    };
    for (let round = 0; round < 20_000; round++) {
      const mutated = new Map([...sample].map(([key, text]) => {
        const at = random(text.length);
        const other = String.fromCharCode(random(128));
        return [key, text.slice(0, at) + other + text.slice(at + random(3))];
      }));
      check(parseStats(mutated));
    }
  });
});
