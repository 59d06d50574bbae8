/**
 * All of the window's state, built once in order and handed down by Svelte's context.
 */
import { getContext, setContext } from 'svelte';
import { onFileOpened, onQuitAsked } from '../client/shell.ts';
import { Engines } from './engines.svelte.ts';
import { Imports } from './imports.svelte.ts';
import { Link } from './link.svelte.ts';
import { Machines } from './machines.svelte.ts';
import { Session } from './session.svelte.ts';
import { Stats } from './stats.svelte.ts';
import { Host, Images, Jobs, Kernels, Networks, Trash } from './things.svelte.ts';
import { Toasts } from './toasts.svelte.ts';
import { Traffic } from './traffic.svelte.ts';
import { Wiring } from './wiring.svelte.ts';

export class Nymph {
  readonly toasts = new Toasts();
  readonly session = new Session();
  readonly link = new Link(this.toasts);
  readonly machines = new Machines(this.link, this.session);
  readonly stats = new Stats(this.link, this.session);
  readonly networks = new Networks(this.link);
  readonly traffic = new Traffic(this.link, this.session, this.networks);
  readonly wiring = new Wiring(this.link);
  readonly images = new Images(this.link);
  readonly kernels = new Kernels(this.link);
  readonly jobs = new Jobs(this.link, this.toasts);
  readonly engines = new Engines(this.link, this.images, this.kernels, this.jobs);
  readonly host = new Host(this.link);
  readonly trash = new Trash(this.link);
  readonly imports = new Imports(this.link, this.machines, this.images);

  constructor() {
    onQuitAsked(() => (this.session.sheet = 'quit'));
    onFileOpened((file) => this.imports.takeOpened(file));
  }
}

const key = Symbol('nymph');

export function provideNymph(nymph: Nymph): void {
  setContext(key, nymph);
}

export function useNymph(): Nymph {
  return getContext<Nymph>(key);
}
