/** The time, as something a component can depend on; it ticks once a second while in use. */
import { createSubscriber } from 'svelte/reactivity';

const follow = createSubscriber((update) => {
  const timer = setInterval(update, 1000);
  return () => clearInterval(timer);
});

export function nowMs(): number {
  follow();
  return Date.now();
}
