/** Who is inside whom, and what is refused for it. */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { Family } from '../../../../src-main/app/node/family.ts';
import type { Driver } from '../../../../src-main/app/node/driver.ts';

/** Drivers by name; `around` is the name of the machine that one is inside of. */
function household(around: Record<string, string | undefined>, alive: readonly string[] = []) {
  const drivers = Object.keys(around).map((name) => ({
    name,
    alive: alive.includes(name),
    state: alive.includes(name) ? 'running' : 'off',
    spec: { id: `id-${name}`, memory: 1, parent: around[name] && `id-${around[name]}` },
  }));
  const family = new Family(() => [...drivers] as unknown as Driver[]);
  const of = (name: string) =>
    drivers.find((driver) => driver.name === name) as unknown as Driver;
  return { family, of };
}

const native = { name: 'native', depthMax: 8 } as const;

const names = (drivers: readonly Driver[]) => drivers.map(({ name }) => name);

suite('who is inside whom', () => {
  const { family, of } = household({ c: 'b', a: undefined, b: 'a', d: 'a' });

  test('children, and all below them with the innermost first', () => {
    assert.deepEqual(names(family.childrenOf(of('a'))), ['b', 'd']);
    assert.deepEqual(names(family.descendantsOf(of('a'))), ['c', 'b', 'd']);
    assert.deepEqual(family.descendantsOf(of('c')), []);
  });

  test('parents come before their children', () => {
    assert.deepEqual(names(family.outermostFirst()), ['a', 'b', 'd', 'c']);
    assert.equal(family.depthOf(of('c')), 2);
  });

  test('what runs inside a paused machine is paused, at any depth, and is resumed with it', () => {
    const { family, of } = household({ a: undefined, b: 'a', c: 'b', off: 'a' }, ['a', 'b', 'c']);
    assert.equal(family.stateOf(of('c')), 'running');
    (of('a') as { state: string }).state = 'paused';
    assert.deepEqual(
      ['a', 'b', 'c', 'off'].map((name) => family.stateOf(of(name))),
      ['paused', 'paused', 'paused', 'off'],
    );
    assert.equal(family.stilledBy(of('c'))?.name, 'a');
    assert.doesNotThrow(() => family.refuseStill(of('a')));
    assert.throws(() => family.refuseStill(of('c')), {
      code: 'wrong-state',
      message: '“c” stands still with “a”, which is around it; resume that one.',
    });
  });

  test('a circle written by hand ends every walk', () => {
    const circle = household({ a: 'b', b: 'a' });
    assert.ok(circle.family.depthOf(circle.of('a')) > 0);
    assert.ok(circle.family.descendantsOf(circle.of('a')).length > 0);
    assert.throws(() => circle.family.refuseParent(circle.of('a'), native), {
      code: 'unsupported',
    });
  });
});

suite('what is refused', () => {
  test('ending a machine while others run inside it, by name', () => {
    const { family, of } = household({ a: undefined, b: 'a', c: 'b' }, ['a', 'b', 'c']);
    assert.throws(() => family.refuseAlive(of('a')), {
      code: 'wrong-state',
      message: '“c” and “b” run inside “a”; stop them first, or all together.',
    });
    assert.doesNotThrow(() => family.refuseAlive(of('c')));
  });

  test('removing one that others are inside of, running or not', () => {
    const { family, of } = household({ a: undefined, b: 'a' });
    assert.doesNotThrow(() => family.refuseAlive(of('a')));
    assert.throws(() => family.refuseAny(of('a')), { code: 'in-use' });
  });

  test('one deeper than its engine goes', () => {
    const { family, of } = household({ a: undefined, b: 'a', c: 'b' });
    const portable = { name: 'portable', depthMax: 3 } as const;
    assert.doesNotThrow(() => family.refuseParent(of('b'), portable));
    assert.doesNotThrow(() => family.refuseParent(of('c'), native));
    assert.throws(() => family.refuseParent(of('c'), portable), {
      code: 'unsupported',
      message: 'Machines of the portable engine are nested at most 3 deep.',
    });
  });

  test('starting one inside a machine that is off, or gone', async () => {
    const { family, of } = household({ a: undefined, b: 'a', lost: 'nobody' });
    await assert.rejects(family.wayInto(of('b').spec!), {
      message: 'It runs inside “a”, which is off; start that one first.',
    });
    await assert.rejects(family.wayInto(of('lost').spec!), { code: 'not-found' });
    assert.equal(await family.wayInto(of('a').spec!), undefined);
  });
});
