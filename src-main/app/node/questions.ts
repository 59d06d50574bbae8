/** What a running machine can be asked, where its engine has an answer. */
import { Refusal } from '../../base/refusal.ts';
import type { KernelRequest, TranslatorView } from '../../contract/machine.ts';
import type { RunningMachine } from '../../machine/engine.ts';
import type { Driver } from './driver.ts';

/** Tells its kernel something; only machines of the native engine have a management console. */
export async function askMonitor(driver: Driver, request: KernelRequest): Promise<string> {
  const machine = mustRun(driver);
  if (machine.monitor) return machine.monitor(kernelLine(request));
  throw new Refusal('unsupported', `“${driver.name}” has no management console.`);
}

/** What its translator does; only machines of the portable engine have one. */
export async function askTranslator(driver: Driver): Promise<TranslatorView> {
  const machine = mustRun(driver);
  if (machine.translator) return machine.translator();
  throw new Refusal('unsupported', `“${driver.name}” runs natively: nothing of it is translated.`);
}

function mustRun(driver: Driver): RunningMachine {
  if (driver.running) return driver.running;
  throw new Refusal('wrong-state', `“${driver.name}” does not run.`);
}

/** As the management console takes it: one line. */
function kernelLine(request: KernelRequest): string {
  switch (request.verb) {
    case 'sysrq':
      return `sysrq ${request.key}`;
    case 'proc':
      return `proc ${request.file}`;
    case 'stack':
      return `stack ${request.pid}`;
    default:
      return request.verb;
  }
}
