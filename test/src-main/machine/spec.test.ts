/** machine.yaml: what it says of a fault, what an edit leaves alone, what a size is. */
import { suite, test } from 'node:test';
import assert from 'node:assert/strict';
import { Refusal } from '../../../src-main/base/refusal.ts';
import {
  checkName,
  editSpec,
  formatSize,
  newSpecText,
  parseSize,
  parseSpec,
  specJsonSchema,
} from '../../../src-main/machine/spec.ts';

const id = "id: '0a1b2c3d'";

function faultIn(text: string): Refusal {
  try {
    parseSpec(text);
  } catch (thrown) {
    assert.ok(thrown instanceof Refusal, String(thrown));
    assert.equal(thrown.code, 'bad-input');
    return thrown;
  }
  assert.fail(`this was taken for a good machine.yaml:\n${text}`);
}

function lines(...text: string[]): string {
  return `${text.join('\n')}\n`;
}

suite('sizes', () => {
  test('are whole numbers with a unit, decimal units meaning the binary ones', () => {
    assert.equal(parseSize('256MiB'), 2 ** 28);
    assert.equal(parseSize('256M'), 2 ** 28);
    assert.equal(parseSize(' 1 GiB '), 2 ** 30);
    assert.equal(parseSize('64K'), 65536);
    assert.equal(parseSize('512B'), 512);
    assert.equal(parseSize('512'), 512);
  });

  test('are nothing else', () => {
    for (const text of ['', 'M', '1.5G', '-1M', '1TB', '1 M B', '0x10', '1e3', '9'.repeat(13)]) {
      assert.equal(parseSize(text), undefined, text);
    }
  });

  test('are written in the largest unit that is exact', () => {
    assert.equal(formatSize(2 ** 30), '1GiB');
    assert.equal(formatSize(1536 * 2 ** 20), '1536MiB');
    assert.equal(formatSize(1024), '1KiB');
    assert.equal(formatSize(1023), '1023B');
    for (const bytes of [1, 1024, 2 ** 20 + 1024, 3 * 2 ** 30]) {
      assert.equal(parseSize(formatSize(bytes)), bytes);
    }
  });
});

suite('a good machine.yaml', () => {
  test('needs no more than an id; everything else has a default', () => {
    const spec = parseSpec(id);
    assert.equal(spec.id, '0a1b2c3d');
    assert.equal(spec.engine, 'native');
    assert.equal(spec.cpus, 1);
    assert.equal(spec.memory, 256 * 2 ** 20);
    assert.equal(spec.confinement, 'on');
    assert.equal(spec.consoles, 2);
    assert.deepEqual([spec.disks, spec.nics, spec.tags], [[], [], []]);
  });

  test('cannot be changed once it is read', () => {
    assert.ok(Object.isFrozen(parseSpec(id)));
  });

  test('made by us opens with a sentence for its reader and reads back as it was', () => {
    const disks = [{ id: 'root', image: 'tiny', file: 'root.cow' }];
    const text = newSpecText({ id: '0a1b2c3d', memory: '128MiB', image: 'tiny', disks });
    assert.match(text, /^# /);
    const spec = parseSpec(text);
    assert.equal(spec.memory, 2 ** 27);
    assert.deepEqual(spec.disks, [{ ...disks[0], attached: true }]);
  });
});

suite('a fault in machine.yaml is named with its line and column', () => {
  const nic = (slot: number | string, mac = '52:00:00:00:00:01') =>
    `  - { id: n${slot}, slot: ${slot}, network: lan, mac: '${mac}' }`;
  const cases: [string, string, RegExp, number?, number?][] = [
    ['broken YAML', lines(id, 'tags: [a, b'), /line \d/],
    ['a tab for indentation', lines(id, 'disks:', '\t- id: a'), /line 3/, 3, 1],
    ['the same key twice', lines(id, 'cpus: 1', 'cpus: 2'), /line 3/, 3, 1],
    ['a list at the top', lines('- a'), /list of keys and values/, 1, 1],
    ['a plain word', 'hello', /list of keys and values/, 1, 1],
    ['a number that is text', lines(id, 'cpus: two'), /line 2: cpus: /, 2, 1],
    ['a number out of range', lines(id, '', 'cpus: 65'), /line 3: cpus: /, 3, 1],
    ['a fraction', lines(id, 'consoles: 1.5'), /line 2: consoles: /, 2, 1],
    ['a size without sense', lines(id, 'memory: lots'), /line 2: memory: write a size such/, 2, 1],
    ['too little memory', lines(id, 'memory: 1MiB'), /line 2: memory: memory is between/, 2, 1],
    ['an engine that is none', lines(id, 'engine: warp'), /line 2: engine: /, 2, 1],
    ['an id that is none', 'id: xyz', /line 1: id: an id is eight/, 1, 1],
    [
      'a MAC of a card maker',
      lines(id, 'nics:', nic(0, '00:00:00:00:00:01')),
      /line 3: nics\.0\.mac/,
      3,
    ],
    ['a slot that is not there', lines(id, 'nics:', nic(4)), /line 3: nics\.0\.slot/, 3],
    [
      'a disk file with a path',
      lines(id, 'disks:', '  - id: a', '    file: ../b'),
      /disks\.0\.file/,
      4,
      5,
    ],
  ];
  for (const [what, text, said, line, column] of cases) {
    test(what, () => {
      const fault = faultIn(text);
      assert.match(fault.message, said);
      assert.match(fault.message, /^machine\.yaml.*\.$/s);
      if (line !== undefined) assert.equal(fault.at?.line, line);
      if (column !== undefined) assert.equal(fault.at?.column, column);
    });
  }

  test('a key that does not exist is named, with the one that was meant', () => {
    const fault = faultIn(lines('# mine', id, 'memroy: 1GiB'));
    assert.equal(
      fault.message,
      'machine.yaml line 3: there is no key “memroy”; did you mean “memory”.',
    );
    assert.deepEqual(fault.at, { line: 3, column: 1 });
  });

  test('also inside of a disk and of a card', () => {
    const disk = faultIn(lines(id, 'disks:', '  - id: a', '    file: a.raw', '    imagge: tiny'));
    assert.match(disk.message, /line 5: there is no key “imagge”; did you mean “image”/);
    assert.deepEqual(disk.at, { line: 5, column: 5 });
    const text = lines(id, 'nics:', '  - { id: a, slot: 0, netwrk: x }');
    assert.match(parseFault(text), /netwrk|network/);
  });

  test('a key far from all others gets no guess', () => {
    assert.equal(
      faultIn(lines(id, 'colour: red')).message,
      'machine.yaml line 2: there is no key “colour”.',
    );
  });

  test('a missing id is said', () => {
    assert.match(faultIn('cpus: 1').message, /id: /);
    assert.match(faultIn('').message, /id: /);
  });

  test('two disks with one id or one file, two cards in one slot', () => {
    const disks = (a: string, b: string) => lines(id, 'disks:', `  - ${a}`, `  - ${b}`);
    assert.match(parseFault(disks('{id: a, file: x}', '{id: a, file: y}')), /disk id “a” twice/);
    assert.match(parseFault(disks('{id: a, file: x}', '{id: b, file: x}')), /disk file “x” twice/);
    assert.match(parseFault(lines(id, 'nics:', nic(1), nic(1))), /same slot/);
  });

  test('an alias bomb and a huge file are refused, not expanded', () => {
    const bomb = ['a: &a [x, x, x, x, x, x, x, x, x]'];
    for (let step = 1; step < 9; step++) {
      const before = String.fromCharCode(96 + step);
      const list = Array(9).fill(`*${before}`).join(', ');
      bomb.push(`${String.fromCharCode(97 + step)}: &${String.fromCharCode(97 + step)} [${list}]`);
    }
    assert.match(parseFault(lines(...bomb)), /machine\.yaml/);
    assert.match(parseFault('#'.repeat((1 << 18) + 1)), /larger than 256 KiB/);
  });

  function parseFault(text: string): string {
    return faultIn(text).message;
  }
});

suite('an edit', () => {
  const text = lines(
    '# the web server',
    id,
    'memory: 256MiB # enough for now',
    '',
    '# two, since it builds at night',
    'cpus: 2',
    'tags: [web]',
  );

  test('changes the keys it names and leaves comments, order and blank lines', () => {
    const edited = editSpec(text, { memory: '512MiB', notes: 'hello' });
    assert.equal(edited, `${text.replace('256MiB', '512MiB')}notes: hello\n`);
  });

  test('takes a key away when its value is undefined', () => {
    const edited = editSpec(text, { tags: undefined });
    assert.ok(!edited.includes('tags'));
    assert.ok(edited.includes('# the web server'));
  });

  test('to something refused changes nothing and says why', () => {
    assert.throws(() => editSpec(text, { cpus: 99 }), { code: 'bad-input' });
    assert.throws(() => editSpec('id: [', { cpus: 1 }), { code: 'bad-input' });
  });
});

suite('a machine’s name', () => {
  test('is a host-name label that starts with a letter', () => {
    for (const name of ['a', 'web', 'web-1', `a${'b'.repeat(62)}`])
      assert.equal(checkName(name), name);
    const wrong = [
      '',
      '1a',
      'A',
      'a_b',
      'a.b',
      'a-',
      '-a',
      '../x',
      'a/b',
      'ä',
      `a${'b'.repeat(63)}`,
      'a\n',
    ];
    for (const name of wrong) assert.throws(() => checkName(name), { code: 'usage' }, name);
  });
});

test('the schema for editors names every key', () => {
  const schema = specJsonSchema() as { properties: Record<string, unknown>; required: string[] };
  assert.deepEqual(schema.required, ['id']);
  for (const key of ['memory', 'cpus', 'disks', 'nics', 'confinement']) {
    assert.ok(Object.hasOwn(schema.properties, key), key);
  }
});
