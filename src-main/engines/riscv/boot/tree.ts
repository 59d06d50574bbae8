/**
 * The device tree of our board: harts with what they really do, memory, interrupt controllers,
 * devices. Only what is implemented is advertised.
 */
import { board } from '../board.ts';
import { guestRamBase } from '../layout.ts';
import { flatten, node } from './fdt.ts';
import type { Node } from './fdt.ts';

export const extensions = [
  'i', 'm', 'a', 'f', 'd', 'c', 'h', 'zicsr', 'zifencei', 'zicntr', 'zicond', 'zicbom', 'zicbop',
  'zicboz', 'zihintpause', 'zawrs', 'zfhmin', 'zca', 'zcb', 'zcd', 'zba', 'zbb', 'zbs', 'sstc',
  'svadu', 'svnapot', 'svpbmt', 'svinval',
] as const; // prettier-ignore

export interface TreeOptions {
  harts: number;
  ramBytes: number;
  bootArguments: string;
  initrd: { start: number; end: number } | null;
  seed: Uint8Array;
  /** Which virtio slots hold a device. */
  virtio: number[];
  sv48: boolean;
  /** Of a machine inside another one: it has no more than resources/guest/vmm.c gives it. */
  inside?: boolean;
  /** Whether it may hold machines itself. One inside another may if the engine hands that on. */
  hosts?: boolean;
  /** Firmware is told of what only M-mode has. */
  firmware?: boolean;
}

const high = (value: number) => Math.floor(value / 0x1_0000_0000);

const plicHandle = 0x100;
const sysconHandle = 0x101;

export function deviceTree(options: TreeOptions): Uint8Array {
  const seed: [string, Uint8Array][] = [['rng-seed', options.seed]];
  const stdout: [string, string][] = [['stdout-path', `/soc/serial@${board.uart.toString(16)}`]];
  const chosen: Node['properties'] = [
    ['bootargs', options.bootArguments],
    ...(options.inside ? [] : stdout),
    ...seed,
  ];
  if (options.initrd !== null) {
    const { start, end } = options.initrd;
    chosen.push(['linux,initrd-start', [high(start), start]]);
    chosen.push(['linux,initrd-end', [high(end), end]]);
  }
  const ram = options.ramBytes;
  const root = node(
    '',
    [
      ['#address-cells', [2]],
      ['#size-cells', [2]],
      ['compatible', ['nymph,portable']],
      ['model', 'Nymph portable machine'],
    ],
    [
      node('chosen', chosen),
      node(`memory@${guestRamBase.toString(16)}`, [
        ['device_type', 'memory'],
        ['reg', [0, guestRamBase, high(ram), ram]],
      ]),
      cpus(options),
      node(
        'soc',
        [
          ['#address-cells', [2]],
          ['#size-cells', [2]],
          ['compatible', 'simple-bus'],
          ['ranges', null],
        ],
        devices(options),
      ),
      ...(options.inside ? [] : [power('poweroff', 0x5555), power('reboot', 0x7777)]),
    ],
  );
  return flatten(root);
}

function power(name: string, value: number): Node {
  return node(name, [
    ['compatible', `syscon-${name}`],
    ['regmap', [sysconHandle]],
    ['offset', [0]],
    ['value', [value]],
  ]);
}

function cpus(options: TreeOptions): Node {
  const list: Node[] = [];
  const hosts = options.hosts ?? !options.inside;
  const has = extensions.filter((name) => name !== 'h' || hosts);
  const letters = has.filter((name) => name.length === 1).join('');
  const words = has.filter((name) => name.length > 1).join('_');
  for (let n = 0; n < options.harts; n++) {
    const controller = node('interrupt-controller', [
      ['#interrupt-cells', [1]],
      ['interrupt-controller', null],
      ['compatible', 'riscv,cpu-intc'],
      ['phandle', [n + 1]],
    ]);
    list.push(
      node(
        `cpu@${n.toString(16)}`,
        [
          ['device_type', 'cpu'],
          ['reg', [n]],
          ['status', 'okay'],
          ['compatible', 'riscv'],
          ['mmu-type', options.sv48 ? 'riscv,sv48' : 'riscv,sv39'],
          ['riscv,isa', `rv64${letters}_${words}`],
          ['riscv,isa-base', 'rv64i'],
          ['riscv,isa-extensions', has],
          ['riscv,cbom-block-size', [64]],
          ['riscv,cbop-block-size', [64]],
          ['riscv,cboz-block-size', [64]],
        ],
        [controller],
      ),
    );
  }
  return node(
    'cpus',
    [
      ['#address-cells', [1]],
      ['#size-cells', [0]],
      ['timebase-frequency', [board.timebaseHz]],
    ],
    list,
  );
}

function devices(options: TreeOptions): Node[] {
  const harts = Array.from({ length: options.harts }, (_, n) => [n + 1, 9]).flat();
  const list: Node[] = [
    node(`interrupt-controller@${board.plic.toString(16)}`, [
      ['compatible', ['sifive,plic-1.0.0', 'riscv,plic0']],
      ['#interrupt-cells', [1]],
      ['#address-cells', [0]],
      ['interrupt-controller', null],
      ['interrupts-extended', harts],
      ['reg', [0, board.plic, 0, 0x400_0000]],
      ['riscv,ndev', [63]],
      ['phandle', [plicHandle]],
    ]),
    node(`rtc@${board.rtc.toString(16)}`, [
      ['compatible', 'google,goldfish-rtc'],
      ['reg', [0, board.rtc, 0, 0x1000]],
      ['interrupt-parent', [plicHandle]],
      ['interrupts', [board.rtcIrq]],
    ]),
    ...(options.inside ? [] : boardDevices()),
  ];
  if (options.firmware) {
    const machine = Array.from({ length: options.harts }, (_, n) => [n + 1, 3, n + 1, 7]).flat();
    list.push(
      node(`clint@${board.clint.toString(16)}`, [
        ['compatible', ['sifive,clint0', 'riscv,clint0']],
        ['reg', [0, board.clint, 0, 0x1_0000]],
        ['interrupts-extended', machine],
      ]),
    );
  }
  for (const n of options.virtio) {
    const address = board.virtio + n * board.virtioStride;
    list.push(
      node(`virtio_mmio@${address.toString(16)}`, [
        ['compatible', 'virtio,mmio'],
        ['reg', [0, address, 0, 0x1000]],
        ['interrupt-parent', [plicHandle]],
        ['interrupts', [board.virtioIrq + n]],
        ['dma-coherent', null],
      ]),
    );
  }
  return list;
}

function boardDevices(): Node[] {
  return [
    node(`test@${board.syscon.toString(16)}`, [
      ['compatible', ['sifive,test1', 'sifive,test0', 'syscon']],
      ['reg', [0, board.syscon, 0, 0x1000]],
      ['phandle', [sysconHandle]],
    ]),
    node(`serial@${board.uart.toString(16)}`, [
      ['compatible', 'ns16550a'],
      ['reg', [0, board.uart, 0, 0x100]],
      ['clock-frequency', [3_686_400]],
      ['interrupt-parent', [plicHandle]],
      ['interrupts', [board.uartIrq]],
    ]),
  ];
}
