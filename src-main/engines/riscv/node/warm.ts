/**
 * Loads what the process of a machine and its threads load, compiles a processor, and ends: Node
 * then writes its cache of them. Run by `code-cache.ts` with the cache in its environment.
 */
import '../jit/report.ts';
import './balloon.ts';
import './control-door.ts';
import './frame-slots.ts';
import './plugs.ts';
import './run.ts';
import './saving.ts';
import './snapshot-read.ts';
import './time-worker.ts';
import './worker.ts';
import { createShared } from '../machine.ts';
import { keepCore } from './core-cache.ts';

createShared({ ramMib: 2, harts: 1 });
await keepCore();
