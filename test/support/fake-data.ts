/**
 * What the fake backend starts with: one machine in each state a person can meet, two LANs,
 * images and kernels. Test equipment for the window; never shipped.
 */
import type { MachineView, TranslatorView } from '../../src-main/contract/machine.ts';
import type {
  Check,
  HostView,
  ImageReport,
  ImageView,
  KernelView,
  NetworkView,
} from '../../src-main/contract/things.ts';

const gib = 2 ** 30;
const mib = 2 ** 20;

type Some = Partial<MachineView> & { name: string };

export function machineOf(some: Some, nowMs: number): MachineView {
  const image = some.image ?? 'tiny';
  return {
    id: `m-${some.name}`,
    engine: 'native',
    children: [],
    state: 'off',
    sinceMs: nowMs - 40 * 60_000,
    cpus: 1,
    memoryMib: 256,
    image,
    kernel: 'nymph-7.2-up',
    kernelChoice: 'the default for one CPU',
    kernelWanted: 'auto',
    commandLine: '',
    pending: [],
    consoles: 2,
    disks: [
      {
        id: 'root',
        kind: 'overlay',
        image,
        virtualBytes: image === 'tiny' ? 64 * mib : 2 * gib,
        realBytes: 3.4 * mib,
        device: '/dev/ubda',
        attached: true,
      },
    ],
    nics: [],
    snapshots: [],
    shares: [],
    tags: [],
    notes: '',
    confinement: 'on',
    agent: false,
    directory: `/home/ada/.local/share/nymph/machines/${some.name}`,
    ...some,
  };
}

export function nicOf(slot: number, network: string, address?: string) {
  return {
    id: `nic${slot}`,
    slot,
    network,
    mac: `02:6e:79:00:00:${(16 + slot).toString(16)}`,
    addresses: address ? [address] : [],
    connected: true,
  };
}

function alive(nowMs: number, minutes: number): Partial<MachineView> {
  const startedMs = nowMs - minutes * 60_000;
  return {
    state: 'running',
    sinceMs: startedMs,
    startedMs,
    pid: 4211 + minutes,
    bootMs: 84,
    agent: true,
    guest: {
      hostname: 'guest',
      osName: 'Tiny Linux 1',
      kernelRelease: '7.2.1-nymph',
      architecture: 'x86_64',
    },
  };
}

export function machinesAt(nowMs: number): MachineView[] {
  const all = [...labAt(nowMs), ...othersAt(nowMs)];
  const inside = (name: string) => all.filter(({ parent }) => parent === name);
  return all.map((each) => ({ ...each, children: inside(each.name).map(({ name }) => name) }));
}

/** Machines that run, wired up. */
function labAt(nowMs: number): MachineView[] {
  const debian = {
    image: 'debian',
    guest: {
      hostname: 'gateway',
      osName: 'Debian GNU/Linux 13 (trixie)',
      kernelRelease: '7.2.1-nymph',
      architecture: 'x86_64',
    },
  };
  return [
    machineOf(
      {
        name: 'gateway',
        ...alive(nowMs, 194),
        ...debian,
        cpus: 2,
        memoryMib: 1024,
        kernel: 'nymph-7.2-smp',
        kernelChoice: 'more than one CPU',
        nics: [nicOf(0, 'lab', '10.77.1.2'), nicOf(1, 'office', '10.77.2.2')],
        tags: ['lab'],
        notes: 'Routes between the lab and the office.',
        disks: [
          ...machineOf({ name: 'gateway', image: 'debian' }, nowMs).disks,
          {
            id: 'data',
            kind: 'blank',
            virtualBytes: 4 * gib,
            realBytes: 212 * mib,
            device: '/dev/ubdb',
            attached: true,
          },
          {
            id: 'old-data',
            kind: 'blank',
            virtualBytes: gib,
            realBytes: 38 * mib,
            device: '',
            attached: false,
          },
        ],
      },
      nowMs,
    ),
    machineOf(
      { name: 'inner', parent: 'gateway', ...alive(nowMs, 31), memoryMib: 64, confinement: 'off' },
      nowMs,
    ),
    machineOf(
      { name: 'core', parent: 'inner', ...alive(nowMs, 12), memoryMib: 32, confinement: 'off' },
      nowMs,
    ),
    machineOf(
      { name: 'web-1', ...alive(nowMs, 58), nics: [nicOf(0, 'lab', '10.77.1.3')] },
      nowMs,
    ),
  ];
}

/** Machines in every other state. */
function othersAt(nowMs: number): MachineView[] {
  return [
    machineOf({ name: 'tiny' }, nowMs),
    machineOf(
      {
        name: 'web-2',
        ...alive(nowMs, 57),
        nics: [nicOf(0, 'lab', '10.77.1.4')],
        confinement: 'unavailable',
        confinementNote: 'This host does not allow user namespaces.',
      },
      nowMs,
    ),
    machineOf(
      {
        name: 'database',
        ...alive(nowMs, 12),
        state: 'paused',
        memoryMib: 512,
        nics: [nicOf(0, 'office', '10.77.2.3')],
      },
      nowMs,
    ),
    machineOf(
      {
        name: 'build-box',
        state: 'crashed',
        image: 'debian',
        sinceMs: nowMs - 4 * 60_000,
        reason: 'The kernel panicked: it ran out of memory and had nothing left to end.',
        lastLines: [
          '[  812.114703] cc1plus invoked oom-killer: gfp_mask=0x140cca, order=0',
          '[  812.114911] Out of memory: Killed process 1207 (cc1plus) total-vm:812344kB',
          '[  812.220018] Kernel panic - not syncing: Out of memory and no killable processes...',
          '[  812.220140] CPU: 0 PID: 1 Comm: systemd Not tainted 7.2.1-nymph',
        ],
      },
      nowMs,
    ),
    machineOf(
      {
        name: 'notebook',
        engine: 'portable',
        state: 'suspended',
        image: 'tiny-riscv64',
        kernel: 'nymph-7.2-riscv64',
        sinceMs: nowMs - 26 * 60_000,
        snapshots: [
          {
            name: 'after-setup',
            createdMs: nowMs - 3 * 3_600_000,
            memory: true,
            realBytes: 31 * mib,
          },
          { name: 'fresh', createdMs: nowMs - 26 * 3_600_000, memory: false, realBytes: 9.4 * mib },
        ],
      },
      nowMs,
    ),
    machineOf(
      {
        name: 'sensor',
        fault: 'machine.yaml, line 7, column 3: there is no key “memroy”; “memory” is meant?',
      },
      nowMs,
    ),
  ];
}

function lan(name: string, third: number, x: number, y: number): NetworkView {
  return {
    id: `n-${name}`,
    name,
    subnet: `10.77.${third}.0/24`,
    gateway: `10.77.${third}.1`,
    services: { dhcp: true, dns: true },
    ports: [],
    rxBytesPerSecond: 0,
    dropped: 0,
    position: { x, y },
  };
}

export function networks(): NetworkView[] {
  return [lan('lab', 1, 40, 40), lan('office', 2, 420, 40)];
}

export function reportOf(some: Partial<ImageReport>): ImageReport {
  return {
    kind: 'disk',
    layers: ['raw'],
    virtualBytes: 2 * gib,
    storedBytes: 412 * mib,
    partitionTable: 'none',
    partitions: [],
    engine: 'native',
    sentence: 'A raw disk with Debian GNU/Linux 13 for x86-64; it boots on the native engine.',
    ...some,
  };
}

export function images(nowMs: number): ImageView[] {
  return [...madeHere(nowMs), imported(nowMs)];
}

function madeHere(nowMs: number): ImageView[] {
  return [
    {
      name: 'tiny',
      origin: 'built-in',
      title: 'Tiny Linux',
      description: 'BusyBox and an init of ours: a shell and a network in a few megabytes.',
      engine: 'native',
      architecture: 'x86_64',
      virtualBytes: 64 * mib,
      realBytes: 2.9 * mib,
      createdMs: nowMs - 9 * 86_400_000,
      usedBy: ['tiny', 'inner', 'web-1', 'web-2', 'database', 'sensor'],
    },
    {
      name: 'debian',
      origin: 'built',
      title: 'Debian 13',
      description: 'A minimal Debian with systemd, made by mmdebstrap on this host.',
      engine: 'native',
      architecture: 'x86_64',
      virtualBytes: 2 * gib,
      realBytes: 318 * mib,
      createdMs: nowMs - 2 * 86_400_000,
      usedBy: ['gateway', 'build-box'],
      report: reportOf({
        root: {
          partition: 0,
          filesystem: 'ext4',
          osName: 'Debian GNU/Linux 13 (trixie)',
          architecture: 'x86_64',
          init: '/sbin/init',
          hasSystemd: true,
        },
      }),
    },
    {
      name: 'debian-riscv64',
      origin: 'available',
      title: 'Debian 13 for RISC-V',
      description: 'For the portable engine, which runs on every host.',
      engine: 'portable',
      architecture: 'riscv64',
      virtualBytes: 2 * gib,
      realBytes: 0,
      usedBy: [],
    },
  ];
}

export function imported(nowMs: number): ImageView {
  return {
    name: 'field-recorder',
    origin: 'imported',
    title: 'field-recorder',
    description: 'Imported from field-recorder.qcow2.xz.',
    engine: 'native',
    architecture: 'x86_64',
    virtualBytes: 8 * gib,
    realBytes: 1.3 * gib,
    createdMs: nowMs - 3_600_000,
    usedBy: [],
    report: reportOf({
      layers: ['xz', 'qcow2'],
      virtualBytes: 8 * gib,
      partitionTable: 'gpt',
      partitions: [
        { index: 1, startByte: mib, sizeBytes: 128 * mib, type: 'EFI system', filesystem: 'vfat' },
        { index: 2, startByte: 129 * mib, sizeBytes: 7.8 * gib, type: 'Linux', filesystem: 'ext4' },
      ],
      root: {
        partition: 2,
        filesystem: 'ext4',
        osName: 'Ubuntu 24.04.3 LTS',
        architecture: 'x86_64',
        init: '/sbin/init',
        hasSystemd: true,
      },
    }),
  };
}

export function kernels(): KernelView[] {
  const features = { seccomp: true, mconsole: true, vector: true, fsync: true };
  return [
    {
      id: 'nymph-7.2-up',
      version: '7.2.1',
      flavour: 'up',
      engine: 'native',
      sizeBytes: 8.1 * mib,
      features,
      default: true,
      usedBy: ['tiny', 'inner', 'web-1', 'web-2', 'database'],
    },
    {
      id: 'nymph-7.2-smp',
      version: '7.2.1',
      flavour: 'smp',
      engine: 'native',
      sizeBytes: 8.6 * mib,
      features: { ...features, smp: true },
      default: false,
      usedBy: ['gateway'],
    },
    {
      id: 'debian-6.1',
      version: '6.1.140',
      flavour: 'packaged',
      engine: 'native',
      sizeBytes: 44 * mib,
      features: { mconsole: true, seccomp: false },
      default: false,
      usedBy: [],
    },
  ];
}

export const host: HostView = {
  version: '0.1.0',
  contract: 1,
  pid: 1,
  platform: 'Debian GNU/Linux 12, Linux 6.1, x86-64',
  cpus: 8,
  memoryTotalBytes: 16 * gib,
  memoryAvailableBytes: 9.2 * gib,
  dataDirectory: '/home/ada/.local/share/nymph',
  confinement: 'on',
};

export const checks: Check[] = [
  { id: 'ptrace', title: 'Kernels may trace', status: 'ok', sentence: 'ptrace works.' },
  {
    id: 'bwrap',
    title: 'Confinement',
    status: 'ok',
    sentence: 'bubblewrap 0.8 works without root.',
  },
  {
    id: 'debootstrap',
    title: 'Debian images',
    status: 'warn',
    sentence: 'mmdebstrap is not installed, so Debian images cannot be built.',
    fix: 'sudo apt install mmdebstrap',
  },
  {
    id: 'space',
    title: 'Free space',
    status: 'ok',
    sentence: '61 GiB are free where machines are kept.',
  },
];

export function logOf({ sinceMs }: MachineView): { atMs: number; text: string }[] {
  return [
    { atMs: sinceMs - 86_400_000, text: 'Made from the image “tiny”.' },
    { atMs: sinceMs - 3_600_000, text: 'Started on nymph-7.2-up; userland after 84 ms.' },
    { atMs: sinceMs - 60_000, text: 'Plugged into the LAN “lab” as 02:6e:79:00:00:10.' },
    { atMs: sinceMs, text: 'The guest asked for 10.77.1.3 and got it.' },
  ];
}

const counted = {
  regions: 812, instructions: 40_120, wasmBytes: 2_100_300, milliseconds: 240, refused: 3,
  droppedRewritten: 12, droppedOverrun: 0, droppedFull: 0, resets: 0,
  liveRegions: 800, livePages: 96, slots: 1400,
}; // prettier-ignore

export const translator: TranslatorView = {
  hot: [{ pc: '0xffffffff80012a40', mode: 'S', share: 0.4, translated: 1 }],
  latest: [{ hart: 0, kind: 'translated', address: '0x80212a40', count: 41, wasmBytes: 2200 }],
  harts: [counted],
  total: counted,
};
