/**
 * Reads a sample of figures from a guest: the text of its own /proc files, by section number as
 * resources/guest/stats.c sends them, into numbers for graphs.
 *
 * What must hold: the text is a guest's and may be anything. What cannot be read is left out or
 * zero, lists are cut at their limits, and a number is always finite and not negative. Counters
 * count from the guest's start; a graph takes differences of two samples.
 */
export interface GuestStats {
  memory: {
    totalBytes: number;
    freeBytes: number;
    /** What programs could still get without swapping. */
    availableBytes: number;
    cachedBytes: number;
  };
  /** Time since boot in hundredths of a second (USER_HZ), all processors together. */
  cpu: { busyTicks: number; idleTicks: number; count: number };
  load: [number, number, number];
  disks: { name: string; reads: number; readBytes: number; writes: number; writtenBytes: number }[];
  networks: { name: string; receivedBytes: number; sentBytes: number; addresses: string[] }[];
  uptimeSeconds: number;
  hostname: string;
  /** For example `Debian GNU/Linux 12 (bookworm)`; '' when the guest does not say. */
  system: string;
  rootDisk: { totalBytes: number; freeBytes: number; availableBytes: number };
}

const listMax = 64;
const nameCharsMax = 64;

export function parseStats(sections: ReadonlyMap<number, string>): GuestStats {
  const lines = (key: number) => (sections.get(key) ?? '').split('\n').slice(0, 512);
  const [block = 0, blocks = 0, free = 0, available = 0] = figures(lines(11)[0] ?? '');
  const [one = 0, five = 0, fifteen = 0] = figures(lines(3)[0] ?? '');
  return {
    memory: parseMemory(lines(1)),
    cpu: parseProcessors(lines(2)),
    load: [one, five, fifteen],
    disks: parseDisks(lines(4)),
    networks: parseNetworks(lines(5), lines(8), lines(9)),
    uptimeSeconds: figures(lines(6)[0] ?? '')[0] ?? 0,
    hostname: word(lines(7)[0] ?? ''),
    system: parseSystem(lines(10)),
    rootDisk: {
      totalBytes: block * blocks,
      freeBytes: block * free,
      availableBytes: block * available,
    },
  };
}

function parseMemory(lines: string[]): GuestStats['memory'] {
  const found = new Map<string, number>();
  for (const line of lines) {
    const [name = '', rest = ''] = line.split(':', 2);
    found.set(name, (figures(rest)[0] ?? 0) * 1024);
  }
  const bytes = (name: string) => found.get(name) ?? 0;
  return {
    totalBytes: bytes('MemTotal'),
    freeBytes: bytes('MemFree'),
    availableBytes: bytes('MemAvailable'),
    cachedBytes: bytes('Cached') + bytes('Buffers') + bytes('SReclaimable'),
  };
}

/** `cpu user nice system idle iowait irq softirq steal …`: proc(5), /proc/stat. */
function parseProcessors(lines: string[]): GuestStats['cpu'] {
  const all = lines.find((line) => line.startsWith('cpu '));
  const ticks = figures(all?.slice(4) ?? '').slice(0, 8);
  const idleTicks = (ticks[3] ?? 0) + (ticks[4] ?? 0);
  const busyTicks = ticks.reduce((sum, each) => sum + each, 0) - idleTicks;
  const count = lines.filter((line) => /^cpu\d/.test(line)).length;
  return { busyTicks, idleTicks, count: Math.max(1, count) };
}

/** Fields of /proc/diskstats: Documentation/admin-guide/iostats.rst. A sector is 512 bytes. */
function parseDisks(lines: string[]): GuestStats['disks'] {
  const disks: GuestStats['disks'] = [];
  for (const line of lines) {
    const [, , name = '', ...rest] = line.trim().split(/\s+/);
    const numbers = figures(rest.join(' '));
    if (rest.length < 11 || disks.length >= listMax) continue;
    if (/^(loop|ram)/.test(name)) continue;
    disks.push({
      name: word(name),
      reads: numbers[0] ?? 0,
      readBytes: (numbers[2] ?? 0) * 512,
      writes: numbers[4] ?? 0,
      writtenBytes: (numbers[6] ?? 0) * 512,
    });
  }
  return disks;
}

function parseNetworks(
  cards: string[],
  addresses4: string[],
  addresses6: string[],
): GuestStats['networks'] {
  const networks: GuestStats['networks'] = [];
  for (const line of cards) {
    const colon = line.indexOf(':');
    const name = word(line.slice(0, Math.max(0, colon)).trim());
    if (colon < 1 || name === 'lo' || networks.length >= listMax) continue;
    const numbers = figures(line.slice(colon + 1));
    networks.push({
      name,
      receivedBytes: numbers[0] ?? 0,
      sentBytes: numbers[8] ?? 0,
      addresses: [...ofCard4(addresses4, name), ...ofCard6(addresses6, name)].slice(0, 16),
    });
  }
  return networks;
}

function ofCard4(lines: string[], card: string): string[] {
  return lines
    .map((line) => line.split(' '))
    .filter(([name, address]) => name === card && /^\d{1,3}(\.\d{1,3}){3}$/.test(address ?? ''))
    .map(([, address]) => address ?? '');
}

/** `32 hex digits, index, prefix length, scope, flags, name`: /proc/net/if_inet6. */
function ofCard6(lines: string[], card: string): string[] {
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([hex = '', , , , , name]) => name === card && /^[0-9a-f]{32}$/.test(hex))
    .map(([hex = '']) => shortened(hex));
}

/** RFC 5952: no leading zeros, the longest run of two or more zero groups as `::`. */
function shortened(hex: string): string {
  const groups = (hex.match(/.{4}/g) ?? []).map((group) => Number.parseInt(group, 16).toString(16));
  let best = { start: 0, length: 1 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === '0') length++;
    if (length > best.length) best = { start, length };
  }
  if (best.length < 2) return groups.join(':');
  const end = best.start + best.length;
  return `${groups.slice(0, best.start).join(':')}::${groups.slice(end).join(':')}`;
}

function parseSystem(lines: string[]): string {
  const line = lines.find((each) => each.startsWith('PRETTY_NAME='));
  return word((line ?? '').slice('PRETTY_NAME='.length).replace(/^["']|["']$/g, ''));
}

/** The numbers of a line; a thing that is no number counts as 0, to keep the others in place. */
function figures(line: string): number[] {
  return line
    .trim()
    .split(/\s+/)
    .slice(0, 32)
    .map((each) => (/^\d{1,18}(\.\d{1,6})?$/.test(each) ? Number(each) : 0));
}

/** A name from a guest, fit to show: no control characters, not long. */
function word(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, '').slice(0, nameCharsMax);
}
