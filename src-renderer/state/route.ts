/** Where the window is, as a value and as the part of the address after `#`. */
export const machineTabs = [
  'overview',
  'console',
  'disks',
  'snapshots',
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
  | { at: 'lan'; name: string }
  | { at: 'machine'; id: string; tab: MachineTab };

/** Anything that is no place is home: an address may come from anywhere. */
export function routeOf(hash: string): Route {
  const [first = '', second = '', third = ''] = hash.replace(/^#\/?/, '').split('/');
  const page = pages.find((name) => name === first);
  if (page && !(page === 'networks' && second)) return { at: page };
  if ((first !== 'machine' && first !== 'networks') || !second) return { at: 'home' };
  const tab = machineTabs.find((name) => name === third) ?? 'overview';
  try {
    if (first === 'networks') return { at: 'lan', name: decodeURIComponent(second) };
    return { at: 'machine', id: decodeURIComponent(second), tab };
  } catch {
    return { at: 'home' };
  }
}

export function hashOf(route: Route): string {
  if (route.at === 'home') return '#/';
  if (route.at === 'lan') return `#/networks/${encodeURIComponent(route.name)}`;
  if (route.at !== 'machine') return `#/${route.at}`;
  return `#/machine/${encodeURIComponent(route.id)}/${route.tab}`;
}
