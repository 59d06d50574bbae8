/**
 * What belongs to this window alone: where it is (kept in the address, so that reload and back
 * work), what is open above it, and the user's preferences.
 */
import { hashOf, routeOf, type MachineTab, type Route } from './route.ts';

export type Theme = 'system' | 'light' | 'dark';
/** `inside`: the id of the machine that the new one is to run inside of. */
export type NewFrom = { image?: string; network?: string; inside?: string };
export type Sheet = 'none' | 'new-machine' | 'palette' | 'shortcuts' | 'quit';

export class Session {
  route = $state<Route>(routeOf(location.hash));
  sheet = $state<Sheet>('none');
  /** What the new-machine sheet starts from. */
  newFrom = $state<NewFrom>({});
  theme = $state<Theme>(kept('theme', ['system', 'light', 'dark']) ?? 'system');
  systemDark = $state(false);
  /** Whether a guest may put text on the host's clipboard (OSC 52). */
  guestClipboard = $state(kept('guestClipboard', ['on', 'off']) === 'on');
  askBeforePaste = $state(kept('askBeforePaste', ['on', 'off']) !== 'off');
  screenReader = $state(kept('screenReader', ['on', 'off']) === 'on');
  visible = $state(true);
  readonly dark = $derived(this.theme === 'system' ? this.systemDark : this.theme === 'dark');

  constructor() {
    addEventListener('hashchange', () => (this.route = routeOf(location.hash)));
    const scheme = matchMedia('(prefers-color-scheme: dark)');
    this.systemDark = scheme.matches;
    scheme.addEventListener('change', () => (this.systemDark = scheme.matches));
    this.visible = !document.hidden;
    document.addEventListener('visibilitychange', () => (this.visible = !document.hidden));
    $effect.root(() => {
      $effect(() => {
        document.documentElement.dataset.theme = this.dark ? 'dark' : 'light';
      });
      $effect(() => keep('theme', this.theme));
      $effect(() => keep('guestClipboard', this.guestClipboard ? 'on' : 'off'));
      $effect(() => keep('askBeforePaste', this.askBeforePaste ? 'on' : 'off'));
      $effect(() => keep('screenReader', this.screenReader ? 'on' : 'off'));
    });
  }

  go(route: Route): void {
    this.sheet = 'none';
    const hash = hashOf(route);
    if (location.hash !== hash) location.hash = hash;
    this.route = route;
  }

  /** Opens a machine on the tab that is open now, so that arrows compare like with like. */
  openMachine(id: string, tab?: MachineTab): void {
    const current = this.route.at === 'machine' ? this.route.tab : 'overview';
    this.go({ at: 'machine', id, tab: tab ?? current });
  }

  openNew(from: NewFrom = {}): void {
    this.newFrom = from;
    this.sheet = 'new-machine';
  }
}

function kept<T extends string>(key: string, among: readonly T[]): T | undefined {
  try {
    const value = localStorage.getItem(`nymph.${key}`);
    return among.find((each) => each === value);
  } catch {
    return undefined;
  }
}

function keep(key: string, value: string): void {
  try {
    localStorage.setItem(`nymph.${key}`, value);
  } catch {
    // A browser that keeps nothing still works for as long as the page lives.
  }
}
