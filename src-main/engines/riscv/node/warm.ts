/**
 * Loads the process of a machine and its threads, compiles a processor, and ends: Node then writes
 * its cache of them. Run by `code-cache.ts` with the cache in its environment. One module that is
 * missing here costs each machine a tenth of a second, as Node then loads what strips types.
 */
import './child.ts';
import './time-worker.ts';
import './worker.ts';
import './workshop-worker.ts';
import { createShared } from '../machine.ts';
import { keepCore } from './core-cache.ts';

// Loaded it is, and ends there: it wants what its thread is given.
await import('./frame-worker.ts').catch(() => {});
createShared({ ramMib: 2, harts: 1 });
await keepCore();
