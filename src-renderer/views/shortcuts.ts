/**
 * The window's keys: the list that `?` shows, and what each does. While a console has the focus
 * plain control keys are the guest's; only those with Shift, and Alt with a digit, are ours.
 */
import { legal } from '../state/machines.svelte.ts';
import type { Nymph } from '../state/nymph.ts';
import { machineTabs } from '../state/route.ts';
import { isMac } from '../ui/format.ts';

export const shortcuts: { group: string; keys: [keys: string, what: string][] }[] = [
  {
    group: 'Anywhere',
    keys: [
      ['Mod+K', 'Commands (also Mod+Shift+P)'],
      ['/', 'Search machines'],
      ['Alt+N', 'New machine'],
      ['Mod+1…6', 'Tab of the machine (also Alt+1…6)'],
      ['Mod+Enter', 'Start or stop the machine'],
      ['Mod+O', 'Import a disk image'],
      ['F6', 'Between the list and the page'],
      ['Mod+,', 'Host & settings'],
      ['?', 'This list'],
    ],
  },
  {
    group: 'In the list of machines',
    keys: [
      ['↑ ↓', 'Move'],
      ['← →', 'Fold and unfold'],
      ['Enter', 'Open'],
      ['Space', 'Start or resume'],
      ['Delete', 'Move to the Trash'],
      ['Shift+F10', 'Menu'],
      ['a…z', 'Jump to a name'],
    ],
  },
  {
    group: 'In a console',
    keys: [
      ['Mod+Shift+C', 'Copy'],
      ['Mod+Shift+V', 'Paste'],
      ['Mod+Shift+F', 'Find'],
      ['F6', 'Leave the console'],
    ],
  },
  {
    group: 'On the network canvas',
    keys: [
      ['Tab', 'Next machine, LAN or cable'],
      ['Arrows', 'Move what is selected'],
      ['Delete', 'Pull the selected cable'],
      ['Mod+Z', 'Undo (redo: Mod+Shift+Z)'],
    ],
  },
];

export function handleKey(event: KeyboardEvent, nymph: Nymph, focusSearch: () => void): void {
  if (event.defaultPrevented || document.querySelector('dialog[open]')) return;
  const target = event.target as HTMLElement;
  const inTerminal = target.closest?.('.xterm') !== null && target.closest !== undefined;
  const typing = target.matches?.('input, textarea, select, [contenteditable]') || inTerminal;
  const mod = isMac ? event.metaKey : event.ctrlKey;
  const act = actionOf(event, nymph,
    { mod, typing, inTerminal: inTerminal && !isMac, focusSearch });
  if (!act) return;
  event.preventDefault();
  act();
}

type At = { mod: boolean; typing: boolean; inTerminal: boolean; focusSearch: () => void };

function actionOf(event: KeyboardEvent, nymph: Nymph, at: At): (() => void) | undefined {
  const { session } = nymph;
  const { altKey, shiftKey } = event;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const palette = () => void (session.sheet = 'palette');
  if (at.mod && !at.typing && (key === 'z' || key === 'y')) {
    return undoAction(nymph, shiftKey || key === 'y');
  }
  if (at.mod && shiftKey) return key === 'p' || key === 'k' ? palette : undefined;
  const digit = /^Digit([1-9])$/.exec(event.code)?.[1];
  if ((at.mod || altKey) && digit) return tabAction(nymph, Number(digit));
  if (altKey && event.code === 'KeyN' && !at.inTerminal) return () => session.openNew();
  if (key === 'F6') return moveFocus;
  if (at.mod && !at.inTerminal) {
    if (key === 'k') return palette;
    if (key === ',') return () => session.go({ at: 'host' });
    if (key === 'o') return () => document.getElementById('file-picker')?.click();
    if (key === 'Enter') return powerAction(nymph);
    return undefined;
  }
  if (at.typing || at.mod || altKey) return undefined;
  if (key === '/') return at.focusSearch;
  if (key === '?') return () => void (session.sheet = 'shortcuts');
  return undefined;
}

function tabAction({ machines, session }: Nymph, digit: number): (() => void) | undefined {
  const { route } = session;
  const machine = route.at === 'machine' ? machines.get(route.id) : undefined;
  const tab = machine && machineTabs[digit - 1];
  if (route.at !== 'machine' || !tab) return undefined;
  return () => session.openMachine(route.id, tab);
}

function undoAction({ session, wiring }: Nymph, redo: boolean): (() => void) | undefined {
  if (session.route.at !== 'networks' && session.route.at !== 'lan') return undefined;
  return () => void (redo ? wiring.history.redo() : wiring.history.undo());
}

function powerAction({ machines, session }: Nymph): (() => void) | undefined {
  const focused = document.activeElement?.closest<HTMLElement>('[data-machine]')?.dataset.machine;
  const id = focused ?? (session.route.at === 'machine' ? session.route.id : undefined);
  const machine = id ? machines.get(id) : undefined;
  if (!machine) return undefined;
  const verb = (['start', 'resume', 'stop'] as const).find((each) => legal(each, machine.state));
  return verb ? () => void machines.do(verb, machine.id) : undefined;
}

function moveFocus(): void {
  const inside = document.activeElement?.closest('aside') !== null;
  const wanted = inside
    ? 'main .xterm-helper-textarea, main [role=tab][tabindex="0"], main h1'
    : '[role=treeitem][tabindex="0"]';
  document.querySelector<HTMLElement>(wanted)?.focus();
}
