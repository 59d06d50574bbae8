/** The verbs on a machine as menu items, legal ones first; the menus and the palette share them. */
import type { MachineView } from '@contract/machine.ts';
import Moon from '@lucide/svelte/icons/moon';
import Pause from '@lucide/svelte/icons/pause';
import Play from '@lucide/svelte/icons/play';
import Power from '@lucide/svelte/icons/power';
import RotateCcw from '@lucide/svelte/icons/rotate-ccw';
import SquareTerminal from '@lucide/svelte/icons/square-terminal';
import Trash from '@lucide/svelte/icons/trash-2';
import Unplug from '@lucide/svelte/icons/zap-off';
import MemoryStick from '@lucide/svelte/icons/memory-stick';
import FileDown from '@lucide/svelte/icons/file-down';
import CopyPlus from '@lucide/svelte/icons/square-plus';
import Copy from '@lucide/svelte/icons/copy';
import { canSave, isAlive, legal } from '../../state/machines.svelte.ts';
import type { Nymph } from '../../state/nymph.ts';
import type { MenuItem } from '../../ui/menu.ts';

type Row = Exclude<MenuItem, 'line'>;

/** The verbs that are legal now, in the order people want them. */
export function verbItems(nymph: Nymph, machine: MachineView): Row[] {
  const { machines } = nymph;
  const run = (verb: Parameters<typeof legal>[0]) => () => void machines.do(verb, machine.id);
  const asleep = machine.state === 'suspended';
  const whole = machines.sleepsWith(machine);
  const start = whole ? `Resume with ${whole.name}` : asleep ? 'Resume' : 'Start';
  const kill = asleep ? 'Discard saved state' : 'Kill';
  const all: (Row & { verb: Parameters<typeof legal>[0] })[] = [
    { verb: 'start', label: start, icon: Play, keys: 'Mod+Enter', run: run('start') },
    { verb: 'resume', label: 'Resume', icon: Play, run: run('resume') },
    { verb: 'stop', label: 'Stop', icon: Power, keys: 'Mod+Enter', run: run('stop') },
    { verb: 'pause', label: 'Pause', icon: Pause, run: run('pause') },
    ...(canSave(machine)
      ? [{ verb: 'suspend' as const, label: 'Suspend', icon: Moon, run: run('suspend') }]
      : []),
    ...(asleep
      ? []
      : [{ verb: 'reset' as const, label: 'Reset', icon: RotateCcw, run: run('reset') }]),
    ...(whole
      ? []
      : [{ verb: 'kill' as const, label: kill, icon: Unplug, danger: true, run: run('kill') }]),
    { verb: 'reclaim', label: 'Give freed memory back', icon: MemoryStick, run: run('reclaim') },
  ];
  return all.filter(({ verb }) => legal(verb, machine.state)).map(({ verb: _, ...row }) => row);
}

export function machineItems(
  nymph: Nymph,
  machine: MachineView,
  onremove: () => void,
): MenuItem[] {
  const { session, toasts, link } = nymph;
  const carry: Row = {
    label: 'Export to a file',
    icon: FileDown,
    run: () => void link.attempt('machine.export', { machine: machine.id }),
  };
  return [
    ...verbItems(nymph, machine),
    'line',
    {
      label: 'Show console',
      icon: SquareTerminal,
      run: () => session.openMachine(machine.id, 'console'),
    },
    ...(machine.state === 'running'
      ? [
          {
            label: 'New machine inside…',
            icon: CopyPlus,
            run: () => session.openNew({ inside: machine.id }),
          },
        ]
      : []),
    {
      label: 'Copy folder path',
      icon: Copy,
      run: () => {
        void navigator.clipboard.writeText(machine.directory);
        toasts.show('good', 'The path is on the clipboard.');
      },
    },
    ...(isAlive(machine.state) || machine.state === 'suspended' ? [] : [carry]),
    'line',
    { label: 'Move to Trash', icon: Trash, danger: true, keys: 'Delete', run: onremove },
  ];
}
