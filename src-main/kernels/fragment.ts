/**
 * What our kernels are made of: the options switched on over an empty configuration
 * (`allnoconfig`), in groups, with the reason of each group. Whatever is not here is off; modules
 * are off altogether. The native flavours share everything but the processors; the portable one
 * has the same heart and the drivers of its engine's board.
 *
 * Use: `fragmentLines(flavour)`. An option that newer sources have renamed stands with all its
 * names joined by `|`; one of them has to be taken.
 */
export type KernelFlavour = 'up' | 'smp' | 'riscv64';
export const kernelFlavours: readonly KernelFlavour[] = ['up', 'smp', 'riscv64'];

type Group = { readonly why: string; readonly options: readonly string[] };

export const commonGroups: readonly Group[] = [
  {
    why: 'What every program expects of a kernel.',
    options: [
      '64BIT=y EXPERT=y MULTIUSER=y CC_OPTIMIZE_FOR_PERFORMANCE=y',
      'SYSVIPC=y POSIX_MQUEUE=y CROSS_MEMORY_ATTACH=y FUTEX=y EPOLL=y SIGNALFD=y TIMERFD=y',
      'EVENTFD=y SHMEM=y AIO=y IO_URING=y ADVISE_SYSCALLS=y MEMBARRIER=y KCMP=y FHANDLE=y',
      'POSIX_TIMERS=y ELF_CORE=y COREDUMP=y BINFMT_ELF=y BINFMT_SCRIPT=y BINFMT_MISC=y',
      'SYSFS_SYSCALL=y KEYS=y FILE_LOCKING=y PROC_CHILDREN=y',
    ],
  },
  {
    why: 'Fine timers, and no tick while idle: fifty idle machines take about one percent.',
    options: ['HIGH_RES_TIMERS=y NO_HZ_IDLE=y'],
  },
  {
    why: 'A crash must say where it happened; its last lines are shown to the user.',
    options: ['PRINTK=y PRINTK_TIME=y LOG_BUF_SHIFT=16 BUG=y KALLSYMS=y SYMBOLIC_ERRNAME=y'],
  },
  {
    why: 'Memory: swap files of guests, compaction so that freed memory can be given back.',
    options: ['SLUB=y SWAP=y COMPACTION=y VM_EVENT_COUNTERS=y'],
  },
  {
    why: 'systemd 252 to 259: control groups v2, namespaces, pressure, notification, autofs.',
    options: [
      'CGROUPS=y MEMCG=y CGROUP_SCHED=y FAIR_GROUP_SCHED=y CFS_BANDWIDTH=y CGROUP_PIDS=y',
      'CGROUP_FREEZER=y CGROUP_DEVICE=y CGROUP_CPUACCT=y PSI=y',
      'NAMESPACES=y UTS_NS=y TIME_NS=y IPC_NS=y USER_NS=y PID_NS=y NET_NS=y',
      'DNOTIFY=y INOTIFY_USER=y FANOTIFY=y AUTOFS_FS=y SECCOMP=y SECCOMP_FILTER=y',
      'TASKSTATS=y TASK_XACCT=y TASK_IO_ACCOUNTING=y',
    ],
  },
  {
    why: 'An initial RAM disk as distributions pack it.',
    options: ['BLK_DEV_INITRD=y RD_GZIP=y RD_XZ=y RD_ZSTD=y'],
  },
  {
    why: 'Disks, with and without a partition table.',
    options: [
      'BLOCK=y BLK_DEV=y BLK_DEV_LOOP=y BLK_DEV_LOOP_MIN_COUNT=0',
      'PARTITION_ADVANCED=y MSDOS_PARTITION=y EFI_PARTITION=y',
    ],
  },
  {
    why: 'File systems: root (ext2, 3, 4), boot partitions, discs, shares and what systemd mounts.',
    options: [
      'EXT4_FS=y EXT4_USE_FOR_EXT2=y EXT4_FS_POSIX_ACL=y EXT4_FS_SECURITY=y',
      'OVERLAY_FS=y FUSE_FS=y ISO9660_FS=y JOLIET=y VFAT_FS=y',
      'NLS=y NLS_DEFAULT="utf8" NLS_CODEPAGE_437=y NLS_ISO8859_1=y NLS_UTF8=y',
      'PROC_FS=y SYSCTL|PROC_SYSCTL=y PROC_PAGE_MONITOR=y SYSFS=y',
      'TMPFS=y TMPFS_POSIX_ACL=y TMPFS_XATTR=y DEVTMPFS=y DEVTMPFS_MOUNT=y',
    ],
  },
  {
    why: 'Network: bridges, VLANs and tunnels for machines inside.',
    options: [
      'NET=y PACKET=y PACKET_DIAG=y UNIX=y UNIX_DIAG=y INET=y INET_DIAG=y INET_UDP_DIAG=y',
      'IP_MULTICAST=y IP_ADVANCED_ROUTER=y IP_MULTIPLE_TABLES=y SYN_COOKIES=y NETLINK_DIAG=y',
      'IPV6=y IPV6_MULTIPLE_TABLES=y BRIDGE=y VLAN_8021Q=y',
      'NETDEVICES=y NET_CORE=y VETH=y TUN=y',
    ],
  },
  {
    why: 'Terminals, as descriptors or lines that we hand over.',
    options: ['TTY=y VT=n UNIX98_PTYS=y LEGACY_PTYS=n'],
  },
  {
    why: 'Randomness of the host, so that nothing waits for entropy; a hand on a stuck guest.',
    options: ['HW_RANDOM=y MAGIC_SYSRQ=y'],
  },
  {
    why: 'Who it is.',
    options: ['LOCALVERSION="-nymph" DEFAULT_HOSTNAME="nymph"'],
  },
];

/** The devices of a User Mode Linux kernel, which are the host's own files and sockets. */
export const umlGroups: readonly Group[] = [
  {
    why: 'Disks are files, folders can be shared, frames travel by vectors of system calls.',
    options: ['BLK_DEV_UBD=y HOSTFS=y UML_NET_VECTOR=y'],
  },
  {
    why: 'Devices over vhost-user sockets.',
    options: ['VIRTIO_MENU=y VIRTIO_UML=y VIRTIO_BALLOON=y'],
  },
  {
    why:
      'Consoles are descriptors that we hand over. What is not named on the command line is ' +
      'null: it must not start a terminal emulator on the host.',
    options: [
      'STDERR_CONSOLE=y SSL=y NULL_CHAN=y PTY_CHAN=y',
      'TTY_CHAN=y CON_ZERO_CHAN="fd:0,fd:1" CON_CHAN="null" SSL_CHAN="null"',
    ],
  },
  { why: 'Randomness and control from outside.', options: ['UML_RANDOM=y MCONSOLE=y'] },
];

/** The board of the portable engine: what `engines/riscv/boot/tree.ts` describes to the guest. */
export const riscvGroups: readonly Group[] = [
  {
    why: 'The processor: what the engine translates, chosen at boot where the kernel can choose.',
    options: [
      'SMP=y NR_CPUS=16 CPUSETS=y FPU=y RISCV_ISA_C=y RISCV_ISA_SVNAPOT=y RISCV_ISA_SVPBMT=y',
      'RISCV_ISA_ZBA=y RISCV_ISA_ZBB=y RISCV_ISA_ZICBOZ=y RISCV_SBI=y',
    ],
  },
  {
    why: 'What the engine does well: loads and stores at any address, code that rewrites itself.',
    options: ['NONPORTABLE=y MMU=y RISCV_EFFICIENT_UNALIGNED_ACCESS=y JUMP_LABEL=y'],
  },
  {
    why: 'The board: interrupt controller, clock, power button, serial console.',
    options: [
      'ARCH_VIRT=y SIFIVE_PLIC=y RTC_CLASS=y RTC_DRV_GOLDFISH=y POWER_RESET_SYSCON_POWEROFF=y',
      'SERIAL_8250=y SERIAL_8250_CONSOLE=y SERIAL_OF_PLATFORM=y SERIAL_8250_NR_UARTS=4',
      'SERIAL_8250_RUNTIME_UARTS=4 SERIAL_EARLYCON_RISCV_SBI=y',
    ],
  },
  {
    why: 'Devices by virtio.',
    options: [
      'VIRTIO_MENU=y VIRTIO_MMIO=y VIRTIO_BLK=y VIRTIO_NET=y VIRTIO_CONSOLE=y',
      'VIRTIO_BALLOON=y HW_RANDOM_VIRTIO=y',
    ],
  },
  {
    why:
      'Folders of the host, sockets to it, and machines inside, which KVM runs; its source does ' +
      'not compile without vectors.',
    options: [
      'NET_9P=y NET_9P_VIRTIO=y NETWORK_FILESYSTEMS=y 9P_FS=y 9P_FS_POSIX_ACL=y',
      'VSOCKETS=y VIRTIO_VSOCKETS=y VIRTUALIZATION=y KVM=y RISCV_ISA_V=y',
    ],
  },
];

export const flavourGroups: Record<KernelFlavour, readonly Group[]> = {
  up: [
    ...umlGroups,
    { why: 'One processor, real time only.', options: ['SMP=n UML_TIME_TRAVEL_SUPPORT=n'] },
  ],
  smp: [...umlGroups, { why: 'Up to 64 processors.', options: ['SMP=y NR_CPUS=64 CPUSETS=y'] }],
  riscv64: riscvGroups,
};

/** One `NAME=value` an entry, without the CONFIG_ prefix; names joined by `|` are alternatives. */
export function fragmentOptions(flavour: KernelFlavour): string[] {
  return [...commonGroups, ...flavourGroups[flavour]].flatMap((group) =>
    group.options.flatMap((line) => line.split(' ')),
  );
}

/** The text that `KCONFIG_ALLCONFIG` names. */
export function fragmentText(options: readonly string[]): string {
  const lines = options.flatMap((option) => {
    const { names, value } = splitOption(option);
    return names.map((name) =>
      value === 'n' ? `# CONFIG_${name} is not set` : `CONFIG_${name}=${value}`,
    );
  });
  return `${lines.join('\n')}\n`;
}

/** The options that a finished `.config` did not take, in the fragment's own words. */
export function missingOptions(options: readonly string[], configText: string): string[] {
  const taken = parseConfig(configText);
  return options.filter((option) => {
    const { names, value } = splitOption(option);
    if (value === 'n') return names.some((name) => taken.has(name));
    return !names.some((name) => taken.get(name) === value);
  });
}

/** `NAME` → value, of everything that is on. */
export function parseConfig(text: string): Map<string, string> {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^CONFIG_(\w+)=(.+)$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined && match[2] !== 'n') {
      values.set(match[1], match[2]);
    }
  }
  return values;
}

function splitOption(option: string): { names: string[]; value: string } {
  const equals = option.indexOf('=');
  return { names: option.slice(0, equals).split('|'), value: option.slice(equals + 1) };
}
