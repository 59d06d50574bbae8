/**
 * disk-read and disk-write: one guest with two more disks, an overlay over an image and a plain
 * raw file of the same size; sequential speed on the first ÷ on the second.
 *
 * Writing ends with fsync. Reading starts with the guest's cache dropped; half of what is read was
 * written to the overlay and half comes from the image below. Each round has fresh files.
 */
import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { median, once, type Row, type RunOptions } from './measure.ts';
import { openWorld, type World } from './world.ts';

const formatter = '/sbin/mke2fs';
const diskMib = 512;
const halfMib = diskMib / 2;
/** The server looks into a machine that has just started, and again 3 s later. */
const settleMs = 4000;

type Figures = { read: number; write: number };
type Rounds = { overlay: Figures[]; raw: Figures[] };

const measureDisks = once(async ({ rounds = 4, say }: RunOptions): Promise<Rounds> => {
  const world = await openWorld();
  try {
    const path = join(world.home, 'data.img');
    writeFileSync(path, randomFillSync(new Uint8Array(diskMib << 20)));
    // An image has to be something; the rest stays as it is.
    execFileSync(formatter, ['-q', '-F', '-E', 'nodiscard', '-t', 'ext4', path]);
    const job = await world.client.call('image.import', { source: { path }, name: 'bench' });
    const { state, error } = await world.client.call('job.wait', { job: job.id });
    if (state !== 'done') throw new Error(`the image could not be imported: ${error}`);
    const taken: Rounds = { overlay: [], raw: [] };
    for (let round = 0; round <= rounds; round += 1) {
      const { overlay, raw } = await oneRound(world, round);
      // The first warms up.
      if (round === 0) continue;
      taken.overlay.push(overlay);
      taken.raw.push(raw);
      say(`round ${round}: read ${mbps(overlay.read)} ÷ ${mbps(raw.read)} MB/s, `
        + `write ${mbps(overlay.write)} ÷ ${mbps(raw.write)} MB/s`);
    }
    return taken;
  } finally {
    await world.close();
  }
});

async function oneRound(world: World, round: number): Promise<{ overlay: Figures; raw: Figures }> {
  const name = `disk-${round}`;
  await world.make(name, 256);
  await world.client.call('disk.add', { machine: name, image: 'bench' });
  await world.client.call('disk.add', { machine: name, sizeBytes: diskMib << 20 });
  await world.start(name);
  try {
    await new Promise((resolve) => setTimeout(resolve, settleMs));
    const disks = ['ubdb', 'ubdc'];
    // Who goes first alternates.
    const order = round % 2 === 0 ? [0, 1] : [1, 0];
    const write: number[] = [];
    const read: number[] = [];
    for (const index of order) write[index] = await writeSpeed(world, name, disks[index]!, 0);
    await writeSpeed(world, name, 'ubdc', halfMib);
    for (const index of order) read[index] = await readSpeed(world, name, disks[index]!);
    return {
      overlay: { read: read[0]!, write: write[0]! }, raw: { read: read[1]!, write: write[1]! },
    };
  } finally {
    await world.remove(name);
  }
}

function writeSpeed(world: World, name: string, disk: string, seekMib: number): Promise<number> {
  const dd = `dd if=/dev/zero of=/dev/${disk} bs=1M count=${halfMib} seek=${seekMib} conv=fsync`;
  return speed(world, name, dd, halfMib);
}

function readSpeed(world: World, name: string, disk: string): Promise<number> {
  return speed(world, name, `dd if=/dev/${disk} of=/dev/null bs=1M count=${diskMib}`, diskMib);
}

/** Bytes a second, as seen from outside: the guest's dd has no clock. Asking takes milliseconds. */
async function speed(world: World, name: string, dd: string, mib: number): Promise<number> {
  await world.exec(name, 'sync; echo 3 > /proc/sys/vm/drop_caches');
  const began = performance.now();
  await world.exec(name, dd);
  return (mib * 2 ** 20 * 1000) / (performance.now() - began);
}

function diskRow(key: keyof Figures, how: string): Row {
  return {
    name: `disk-${key}`,
    goal: { atLeast: 0.8 },
    unit: '',
    how,
    obstacle: () => (existsSync(formatter) ? undefined : 'mke2fs is not installed (e2fsprogs)'),
    async run(options) {
      const { overlay, raw } = await measureDisks(options);
      const [ours, peer] = [overlay, raw].map((rounds) => rounds.map((figures) => figures[key]));
      return {
        value: median(ours!) / median(peer!),
        samples: { overlayBytesPerSecond: ours!, rawBytesPerSecond: peer! },
      };
    },
  };
}

function mbps(bytesPerSecond: number): number {
  return Math.round(bytesPerSecond / 1e6);
}

export const diskRead = diskRow('read', 'sequential read of an overlay ÷ of a plain raw disk');
export const diskWrite = diskRow('write', 'sequential write and fsync, overlay ÷ plain raw disk');
