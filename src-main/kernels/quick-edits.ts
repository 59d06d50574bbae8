/**
 * Our edits that make User Mode Linux quick, above all when it runs in itself: there each system
 * call that the inner kernel makes is a whole round trip of the outer one, so what counts is how
 * many it makes for a fault, a call, a fork and an exec. test/guest/kernel-quick.test.ts shows what
 * can be seen of each without a clock.
 */
import type { KernelEdit } from './edits.ts';
import { handOver } from './turn-edits.ts';

const mmu = 'arch/um/kernel/skas/mmu.c';
const stub = 'arch/um/kernel/skas/stub.c';
const stubExe = 'arch/um/kernel/skas/stub_exe.c';
const stubData = 'arch/um/include/shared/skas/stub-data.h';
const mmId = 'arch/um/include/shared/skas/mm_id.h';
const stubMemory = 'arch/um/os-Linux/skas/mem.c';
const userspace = 'arch/um/os-Linux/skas/process.c';
const trap = 'arch/um/kernel/trap.c';

const keepWhy =
  'Each address space is a process of the host, made by clone and exec with some forty system ' +
  'calls, and ended with the address space. The last four that are no longer needed are kept ' +
  'for the next ones: whatever was mapped in them is unmapped before they run anything, as it ' +
  'is in a new one. A fork and exec then makes none.';

const keptStubs: readonly KernelEdit[] = [
  {
    feature: 'quick',
    file: mmu,
    find: 'static struct list_head mm_list;',
    change: {
      insertAfterLine: [
        '',
        'static struct mm_id kept_stubs[4];',
        'static int kept_stubs_count;',
        '',
        'static bool keep_stub(struct mm_id *id)',
        '{',
        '\tguard(spinlock_irqsave)(&mm_list_lock);',
        '\tif (id->pid <= 0 || id->syscall_data_len < 0 ||',
        '\t    kept_stubs_count == ARRAY_SIZE(kept_stubs))',
        '\t\treturn false;',
        '\tkept_stubs[kept_stubs_count++] = *id;',
        '\treturn true;',
        '}',
        '',
        'static bool take_stub(struct mm_context *context)',
        '{',
        '\tguard(spinlock_irqsave)(&mm_list_lock);',
        '\twhile (kept_stubs_count > 0) {',
        '\t\tcontext->id = kept_stubs[--kept_stubs_count];',
        '\t\tcontext->id.syscall_data_len = 0;',
        '\t\tcontext->id.syscall_fd_num = 0;',
        '\t\tif (stub_is_alive(&context->id)) {',
        '\t\t\tlist_add(&context->list, &mm_list);',
        '\t\t\treturn true;',
        '\t\t}',
        '\t\tif (using_seccomp)',
        '\t\t\tos_close_file(context->id.sock);',
        '\t\tfree_pages(context->id.stack, ilog2(STUB_DATA_PAGES));',
        '\t}',
        '\treturn false;',
        '}',
        '',
        'static void forget_stub(int pid)',
        '{',
        '\tfor (int i = 0; i < kept_stubs_count; i++)',
        '\t\tif (kept_stubs[i].pid == pid)',
        '\t\t\tkept_stubs[i].pid = -1;',
        '}',
        '',
        'void drop_stubs(void)',
        '{',
        '\twhile (kept_stubs_count > 0)',
        '\t\tos_kill_ptraced_process(kept_stubs[--kept_stubs_count].pid, 1);',
        '}',
      ],
    },
    why: keepWhy,
  },
  {
    feature: 'quick',
    file: mmu,
    find: 'stack = __get_free_pages(',
    change: {
      replace: 'if (take_stub(&mm->context))\n\t\tgoto clean;\n\n\tstack = __get_free_pages(',
    },
    why: 'A new address space takes a process that was kept.',
  },
  {
    feature: 'quick',
    file: mmu,
    find: 'unmap(new_id, 0, STUB_START);',
    change: { replace: 'clean:\n\tunmap(new_id, 0, STUB_START);' },
    why: 'A process that was kept is emptied just as a new one is.',
  },
  {
    feature: 'quick',
    file: mmu,
    find: 'if (mmu->id.pid > 0) {',
    change: { replace: 'if (keep_stub(&mmu->id))\n\t\treturn;\n\n\tif (mmu->id.pid > 0) {' },
    why: 'An address space that ends leaves its process for the next one.',
  },
  {
    feature: 'quick',
    file: mmu,
    find: 'while ((pid = os_reap_child()) > 0) {',
    change: { insertAfterLine: ['\t\tforget_stub(pid);'] },
    why: 'A process that the host has ended meanwhile must not be taken.',
  },
  {
    feature: 'quick',
    file: 'arch/um/kernel/reboot.c',
    find: 'read_lock(&tasklist_lock);',
    change: { insertAfterLine: ['\tdrop_stubs();'] },
    why: 'A restart executes the kernel anew in the same process, which would keep its children.',
  },
  {
    feature: 'quick',
    file: mmId,
    find: 'void notify_mm_kill(int pid);',
    change: {
      insertAfterLine: ['int stub_is_alive(struct mm_id *id);', 'void drop_stubs(void);'],
    },
    why: 'The two are called from other files.',
  },
  {
    feature: 'quick',
    file: userspace,
    find: 'int using_seccomp;',
    change: {
      insertAfterLine: [
        '',
        'int stub_is_alive(struct mm_id *id)',
        '{',
        '\tunsigned long regs[MAX_REG_NR];',
        '',
        '\treturn id->pid > 0 && (using_seccomp || !ptrace_getregs(id->pid, regs));',
        '}',
      ],
    },
    why:
      'With ptrace nobody is told when a process of an address space ends, and the next use of ' +
      'it is a panic; asking for its registers tells.',
  },
];

const fewerFaults: readonly KernelEdit[] = [
  {
    feature: 'quick',
    file: trap,
    find: '#include <skas.h>',
    change: {
      insertAfterLine: [
        '',
        '#define FAULT_AROUND (8 * PAGE_SIZE)',
        '',
        'static void fault_around(struct vm_area_struct *vma, unsigned long address)',
        '{',
        '\tunsigned long at = ALIGN_DOWN(address, FAULT_AROUND);',
        '\tunsigned long end = min(at + FAULT_AROUND, vma->vm_end);',
        '\tbool shared = vma->vm_flags & VM_SHARED;',
        '',
        '\tif (shared && !vma_is_shmem(vma))',
        '\t\treturn;',
        '\tfor (at = max(at, vma->vm_start); at < end; at += PAGE_SIZE) {',
        '\t\tpte_t pte = ptep_get(pte_offset_kernel(pmd_off(vma->vm_mm, at), at));',
        '',
        '\t\tif (!pte_none(pte) && (shared || !pte_present(pte) || pte_write(pte)))',
        '\t\t\tcontinue;',
        '\t\tif (handle_mm_fault(vma, at, FAULT_FLAG_USER | FAULT_FLAG_WRITE, NULL))',
        '\t\t\tbreak;',
        '\t}',
        '}',
      ],
    },
    why:
      'A fault is a round trip of two processes, a hundred times what a page costs. A first ' +
      'write makes the other pages of its window of 32 KiB writable too, within its mapping: ' +
      'new pages of anonymous and shared memory, copies of pages shared since a fork.',
  },
  {
    feature: 'quick',
    file: trap,
    find: 'err = 0;',
    change: { insertAfterLine: ['\tif (is_user && is_write)', '\t\tfault_around(vma, address);'] },
    why: 'Only programs fault around, and only when they write; reads of files do already.',
  },
  {
    feature: 'quick',
    file: stub,
    find: 'MAP_SHARED | MAP_FIXED,',
    change: { replace: 'MAP_SHARED | MAP_FIXED | MAP_POPULATE,' },
    why:
      'What is mapped is there: without it the program faults again at once, on the host, which ' +
      'when that is a kernel like this one is a second round trip.',
  },
  {
    feature: 'quick',
    file: 'arch/um/kernel/tlb.c',
    find: '} else if (!pte_dirty(*pte))',
    change: {
      replace: '} else if (w)\n\t\t\t\t*pte = pte_mkdirty(*pte);\n\t\t\telse',
    },
    why:
      'A page that may be written was mapped for reading only, to learn of the first write by a ' +
      'fault. Files that must know of it have it asked for by their page tables’ write bit; all ' +
      'others are memory, which may as well count as written.',
  },
];

const memoryAtHand: readonly KernelEdit[] = [
  {
    feature: 'quick',
    file: stubExe,
    find: 'we only need the signalling FD',
    change: {
      insertAfterLine: [
        '\tif (init_data.seccomp) {',
        '\t\tstub_syscall2(__NR_dup2, init_data.stub_data_fd, STUB_MAX_FDS);',
        '\t\tstub_syscall3(__NR_close_range, 1, STUB_MAX_FDS - 1, 0);',
        '\t}',
      ],
    },
    why:
      'To map one page the descriptor of guest memory was sent to the process, received, and ' +
      'closed again. It now stays open under a number above those that are sent. Programs can ' +
      'reach that memory in this mode anyway, as the option’s help says.',
  },
  {
    feature: 'quick',
    file: stubExe,
    find: '__NR_close_range, 1, ~0U',
    change: { replace: '__NR_close_range, STUB_MAX_FDS + 1, ~0U' },
    why: 'Everything above it is closed as before.',
  },
  {
    feature: 'quick',
    file: stub,
    find: 'if (fd_map)',
    change: { replace: 'if (fd_map && sc->mem.fd < STUB_MAX_FDS)' },
    why: 'The number above those that are sent is the descriptor itself.',
  },
  {
    feature: 'quick',
    file: stub,
    find: '/* Read passed FDs (if any) */',
    change: { insertAfterLine: ['\t\tif (d->fds_passed)'] },
    why: 'Nothing is received when nothing was sent.',
  },
  {
    feature: 'quick',
    file: stubData,
    find: 'short restart_wait;',
    change: { insertAfterLine: ['\tshort fds_passed;'] },
    why: 'How many descriptors were sent.',
  },
  {
    feature: 'quick',
    file: userspace,
    find: 'data->signal = 0;',
    change: { insertAfterLine: ['\t\t\tdata->fds_passed = mm_idp->syscall_fd_num;'] },
    why: 'How many descriptors were sent.',
  },
  {
    feature: 'quick',
    file: mmId,
    find: 'int syscall_fd_map[STUB_MAX_FDS];',
    change: { replace: 'int syscall_fd_map[STUB_MAX_FDS + 1];' },
    why: 'One place more, for the descriptor that is never sent.',
  },
  {
    feature: 'quick',
    file: stubMemory,
    find: '#include <mm_id.h>',
    change: { insertAfterLine: ['#include <mem.h>'] },
    why: 'It declares which descriptor holds a piece of guest memory.',
  },
  {
    feature: 'quick',
    file: stubMemory,
    find: 'Find an FD slot',
    change: {
      insertAfterLine: [
        '\tunsigned long long offset;',
        '',
        '\tif (using_seccomp &&',
        '\t    fd == phys_mapping(uml_to_phys(__syscall_stub_start), &offset)) {',
        '\t\tmm_idp->syscall_fd_map[STUB_MAX_FDS] = fd;',
        '\t\treturn STUB_MAX_FDS;',
        '\t}',
      ],
    },
    why: 'Guest memory is at hand in every process; the stub’s own code lies in it too.',
  },
];

export const quickEdits: readonly KernelEdit[] = [
  ...keptStubs,
  ...fewerFaults,
  ...memoryAtHand,
  ...handOver,
];
