/**
 * What a guest is told that was away: how late it is, and what its machine is called and which
 * cards it has, where that is not as it was. All by its agent; one that has none goes on unaware.
 */
import { asRefusal, Refusal } from '../../base/refusal.ts';
import { clock } from './clock.ts';
import type { Driver } from './driver.ts';
import type { SavedState } from './saved-states.ts';

const greetingTimeoutMs = 10_000;

/** @throws Refusal with its reason when the machine ends instead of going on. */
export async function wake(driver: Driver, saved: SavedState): Promise<void> {
  const { running, guest } = driver;
  if (!running || !guest) throw gone(driver);
  const greeted = guest.greeted(greetingTimeoutMs).then(
    () => true,
    () => false,
  );
  const answers = await Promise.race([greeted, running.exited.then(() => false)]);
  if (driver.running !== running) throw gone(driver);
  if (!answers) return driver.note('Its guest has no agent to be told the time by');
  await tellTheTime(driver);
  if (saved.machine !== driver.name && guest.hello?.hostname === saved.machine) {
    guest.rename(driver.name);
  }
  for (const { slot, mac } of driver.goodSpec().nics) {
    if (saved.spec.nics.some((nic) => nic.slot === slot && nic.mac === mac)) continue;
    // Its driver looks at a card's address only when it is bound.
    await running.unplugNic(slot, driver.inGuest);
    await running.plugNic(slot, mac, driver.inGuest).catch((thrown: unknown) => {
      driver.note(`Its card ${slot} is not used: ${asRefusal(thrown).message}`);
    });
  }
}

/** Its own clock has stood still, or there is none. One that cannot be told keeps its time. */
export async function tellTheTime({ inGuest }: Pick<Driver, 'inGuest'>): Promise<void> {
  const seconds = Math.round(clock.nowMs() / 1000);
  await inGuest(`date -u -s @${seconds}`).catch(() => undefined);
}

/** Inside a portable machine there is no clock, so one that starts there is told as well. */
export async function tellInside(driver: Driver): Promise<void> {
  if (driver.spec?.parent === undefined || driver.spec.engine !== 'portable') return;
  await tellTheTime(driver);
}

function gone({ name, reason }: Driver): Refusal {
  return new Refusal('internal', reason ?? `“${name}” ended before it went on.`);
}
