/**
 * What belongs to this window alone: where it is (kept in the address, so that reload and back
 * work), what is open above it, and the user's preferences.
 */
export const machineTabs = [
  'overview',
  'console',
  'disks',
  'network',
  'settings',
  'log',
] as const;
export type MachineTab = (typeof machineTabs)[number];
export const pages = ['networks', 'images', 'kernels', 'trash', 'host'] as const;
export type Page = (typeof pages)[number];

export type Route =
  | { at: 'home' }
  | { at: Page }
  | { at: 'machine'; id: string; tab: MachineTab };

export type Theme = 'system' | 'light' | 'dark';
export type Sheet = 'none' | 'new-machine' | 'palette' | 'shortcuts' | 'quit';

export function routeOf(hash: string): Route {
  const [first = '', second = '', third = ''] = hash.replace(/^#\/?/, '').split('/');
  const page = pages.find((name) => name === first);
  if (page) return { at: page };
  if (first !== 'machine' || !second) return { at: 'home' };
  const tab = machineTabs.find((name) => name === third) ?? 'overview';
  return { at: 'machine', id: decodeURIComponent(second), tab };
}

export function hashOf(route: Route): string {
  if (route.at === 'home') return '#/';
  if (route.at !== 'machine') return `#/${route.at}`;
  return `#/machine/${encodeURIComponent(route.id)}/${route.tab}`;
}

export class Session {
  route = $state<Route>(routeOf(location.hash));
  sheet = $state<Sheet>('none');
  /** What the new-machine sheet starts from. */
  newFrom = $state<{ image?: string; network?: string }>({});
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

  openNew(from: { image?: string; network?: string } = {}): void {
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
