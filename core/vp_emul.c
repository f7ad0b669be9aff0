// SPDX-License-Identifier: GPL-2.0-only
/*
 * Instructions that the core executes in the guest's stead: MMIO, the APIC page, string I/O. The
 * emulator (x86/emul.h) does the instruction; here is what it sees of the guest's memory, and how an access
 * that only the root can answer is asked for and resumed.
 *
 * An instruction that needs an answer is abandoned, and started again from scratch when the answer is
 * there; vp->io keeps the answers until it is done. No event is injected in between, as vp_io_complete()
 * comes before everything else.
 */
#include "core/string.h"
#include "core/vp_int.h"
#include "core/x86/asm.h"

#define CR0_PG BIT(31)

#define XSAVE_BV_OFFSET 512
#define XSAVE_BV_SSE	BIT(1)

/* ---- the guest's memory ---- */

/* Why an access to guest-physical memory cannot be had: as a callback's result. */
static int em_refuse(struct vp *vp, enum vm_mem kind, u64 gpa, bool write)
{
	if (kind != VM_MEM_MISSING)
		return -EIO;
	vp->io->missing = true;
	vp->io->missing_gpa = gpa;
	vp->io->missing_write = write;
	vp->io->missing_exec = false;
	return -ENOENT;
}

static int em_read_entry(void *ctx, u64 gpa, unsigned int size, u64 *entry)
{
	struct vp *vp = ctx;
	enum vm_mem kind;
	u64 hpa;

	spin_lock(&vp->vm->lock);
	kind = vm_mem(vp->vm, gpa, false, &hpa);
	if (kind == VM_MEM_RAM)
		*entry = size == 8 ? __atomic_load_n((u64 *)mm_va(hpa), __ATOMIC_RELAXED)
				   : __atomic_load_n((u32 *)mm_va(hpa), __ATOMIC_RELAXED);
	spin_unlock(&vp->vm->lock);
	return kind == VM_MEM_RAM ? 0 : em_refuse(vp, kind, gpa, false);
}

static int em_cmpxchg_entry(void *ctx, u64 gpa, unsigned int size, u64 old, u64 new)
{
	struct vp *vp = ctx;
	enum vm_mem kind;
	u32 old32 = old;
	bool done = false;
	u64 hpa;

	spin_lock(&vp->vm->lock);
	kind = vm_mem(vp->vm, gpa, true, &hpa);
	if (kind == VM_MEM_RAM)
		done = size == 8
			       ? __atomic_compare_exchange_n((u64 *)mm_va(hpa), &old, new, false,
							     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)
			       : __atomic_compare_exchange_n((u32 *)mm_va(hpa), &old32, new, false,
							     __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
	spin_unlock(&vp->vm->lock);
	if (kind != VM_MEM_RAM)
		return em_refuse(vp, kind, gpa, true);
	return done ? 0 : -EBUSY;
}

/* A range that is contiguous in guest-physical memory. */
struct em_piece {
	u64 gpa;
	u32 len;
	enum vm_mem kind;
	u64 hpa;
};

static int em_translate(struct emul *e, u64 linear, u32 flags, u64 *gpa)
{
	struct vp *vp = e->ctx;
	struct gwalk w = { .maxphyaddr = vp->cpuid->maxphyaddr,
			   .read = em_read_entry,
			   .cmpxchg = em_cmpxchg_entry,
			   .ctx = vp,
			   .rflags = e->rflags };
	struct gwalk_out out;
	u32 access = 0;
	int ret;

	if (flags & EMUL_WRITE)
		access |= GWALK_WRITE;
	if (flags & EMUL_FETCH)
		access |= GWALK_FETCH;
	if (e->cpl == 3)
		access |= GWALK_USER;
	vp_vendor_gwalk(vp, &w);
	ret = gwalk(&w, linear, access, &out);
	if (ret == -EFAULT)
		e->fault = (struct emul_fault){
			.vector = 14, .has_error = true, .error = out.error, .cr2 = linear
		};
	if (ret == -EBUSY)
		vp->io->retry = true;
	*gpa = out.gpa;
	return ret;
}

/* Translate a range that crosses at most one page boundary. -> number of pieces, or negative. */
static int em_pieces(struct emul *e, u64 linear, u32 len, u32 flags, struct em_piece p[2])
{
	u32 first = MIN(len, PAGE_SIZE - (linear & (PAGE_SIZE - 1)));
	int ret;

	if (len > VP_IO_BYTES)
		return -EIO;
	p[0].len = first;
	ret = em_translate(e, linear, flags, &p[0].gpa);
	if (ret || first == len)
		return ret ? ret : 1;
	p[1].len = len - first;
	ret = em_translate(e, linear + first, flags, &p[1].gpa);
	return ret ? ret : 2;
}

static bool apic_hit(struct vp *vp, u64 gpa)
{
	return lapic_mmio_hit(&vp->lapic, gpa) && lapic_hw_enabled(&vp->lapic) &&
	       !lapic_x2apic(&vp->lapic);
}

/* One MMIO read of up to 8 bytes: an answer that is at hand, or -EAGAIN and it is asked for. */
static int em_mmio_read(struct vp *vp, u64 gpa, void *buf, u32 len)
{
	struct vp_io *io = vp->io;

	if (io->replay < io->nreads) {
		if (io->reads[io->replay].gpa == gpa && io->reads[io->replay].len == len) {
			memcpy(buf, io->reads[io->replay++].data, len);
			return 0;
		}
		io->nreads = io->replay; /* the guest has changed its page tables: ask anew */
	}
	if (io->nreads == VP_IO_READS)
		return -EIO;
	io->reads[io->nreads].gpa = gpa;
	io->reads[io->nreads].len = len;
	io->state = VP_IO_MMIO_READ;
	return -EAGAIN;
}

static int em_read_device(struct vp *vp, u64 gpa, u8 *buf, u32 len)
{
	u32 i, n, val;
	int ret;

	if (apic_hit(vp, gpa)) {
		memset(buf, 0, len);
		val = lapic_mmio_read(&vp->lapic, gpa & (PAGE_SIZE - 1), len, rdtsc());
		memcpy(buf, &val, MIN(len, 4));
		return 0;
	}
	for (i = 0; i < len; i += n) {
		n = MIN(len - i, 8);
		ret = em_mmio_read(vp, gpa + i, buf + i, n);
		if (ret)
			return ret;
	}
	return 0;
}

/* Remember instruction bytes for error reports, and where they are for vp_fetch_cached(). */
static void em_note_fetch(struct vp *vp, struct emul *e, u64 linear, const void *buf, u32 len,
			  u64 hpa)
{
	u64 start = vp_vendor_cs_base(vp) + e->rip;
	struct vp_io *io = vp->io;

	if (linear == start) {
		io->insn_len = 0;
		vp->fetch = (struct vp_fetch){ .page = linear >> PAGE_SHIFT,
					       .cr3 = vp_vendor_cr3(vp),
					       .cr0 = vp_vendor_cr0(vp) & CR0_PG,
					       .map_gen = vp->vm->map_gen,
					       .bytes = mm_va(hpa & PAGE_MASK) };
	}
	len = MIN(len, sizeof(io->insn) - io->insn_len);
	memcpy(io->insn + io->insn_len, buf, len);
	io->insn_len += len;
}

static int em_read(struct emul *e, u64 linear, void *buf, unsigned int len, unsigned int flags)
{
	struct em_piece p[2];
	struct vp *vp = e->ctx;
	u8 *to = buf;
	int i, n, ret = 0;

	n = em_pieces(e, linear, len, flags, p);
	if (n < 0)
		return n;
	for (i = 0; i < n && !ret; to += p[i++].len) {
		spin_lock(&vp->vm->lock);
		p[i].kind = vm_mem(vp->vm, p[i].gpa, false, &p[i].hpa);
		if (p[i].kind == VM_MEM_RAM) {
			memcpy(to, mm_va(p[i].hpa), p[i].len);
			if (flags & EMUL_FETCH)
				em_note_fetch(vp, e, linear, to, p[i].len, p[i].hpa);
		}
		spin_unlock(&vp->vm->lock);
		if (p[i].kind == VM_MEM_MMIO && !(flags & EMUL_FETCH))
			ret = em_read_device(vp, p[i].gpa, to, p[i].len);
		else if (p[i].kind == VM_MEM_MISSING && apic_hit(vp, p[i].gpa))
			ret = em_read_device(vp, p[i].gpa, to, p[i].len);
		else if (p[i].kind != VM_MEM_RAM)
			ret = em_refuse(vp, p[i].kind, p[i].gpa, false);
	}
	return ret;
}

/* The part of a write that is not RAM: done by the local APIC here, or queued for the root. */
static int em_write_device(struct vp *vp, u64 gpa, const u8 *buf, u32 len)
{
	struct vp_io *io = vp->io;
	u32 val = 0, at = 0, i;

	if (apic_hit(vp, gpa)) {
		memcpy(&val, buf, MIN(len, 4));
		vp_lapic_mmio_write(vp, gpa & (PAGE_SIZE - 1), len, val);
		return 0;
	}
	for (i = 0; i < io->nwrites; i++)
		at += io->writes[i].len;
	io->writes[io->nwrites].gpa = gpa;
	io->writes[io->nwrites++].len = len;
	memcpy(io->write_data + at, buf, len);
	return 0;
}

static int em_write(struct emul *e, u64 linear, const void *buf, unsigned int len,
		    unsigned int flags)
{
	struct vp *vp = e->ctx;
	struct em_piece p[2];
	const u8 *from = buf;
	int i, n, ret = 0;

	n = em_pieces(e, linear, len, flags | EMUL_WRITE, p);
	if (n < 0)
		return n;
	spin_lock(&vp->vm->lock);
	for (i = 0; i < n && !ret; i++) {
		p[i].kind = vm_mem(vp->vm, p[i].gpa, true, &p[i].hpa);
		if (p[i].kind == VM_MEM_MISSING && apic_hit(vp, p[i].gpa))
			p[i].kind = VM_MEM_MMIO;
		if (p[i].kind == VM_MEM_MISSING || p[i].kind == VM_MEM_DEVICE)
			ret = em_refuse(vp, p[i].kind, p[i].gpa, true);
	}
	for (i = 0; i < n && !ret && !(flags & EMUL_PROBE); from += p[i++].len)
		if (p[i].kind == VM_MEM_RAM)
			memcpy(mm_va(p[i].hpa), from, p[i].len);
	spin_unlock(&vp->vm->lock);
	if (flags & EMUL_PROBE)
		return ret;
	for (i = 0, from = buf; i < n && !ret; from += p[i++].len)
		if (p[i].kind != VM_MEM_RAM)
			ret = em_write_device(vp, p[i].gpa, from, p[i].len);
	return ret;
}

/*
 * The instruction came here because its operand was no RAM. If it is now, the root has just mapped it, and the
 * guest's own locked instruction is the only right one.
 */
static int em_cmpxchg(struct emul *e, u64 linear, const void *old, const void *new,
		      unsigned int len)
{
	struct vp *vp = e->ctx;
	struct em_piece p[2];
	bool ram = true;
	int i, n;

	(void)old;
	n = em_pieces(e, linear, len, EMUL_WRITE, p);
	if (n < 0)
		return n;
	spin_lock(&vp->vm->lock);
	for (i = 0; i < n; i++)
		ram = ram && vm_mem(vp->vm, p[i].gpa, true, &p[i].hpa) == VM_MEM_RAM;
	spin_unlock(&vp->vm->lock);
	if (ram) {
		vp->io->retry = true;
		return -EIO;
	}
	return em_write(e, linear, new, len, EMUL_LOCKED);
}

/* ---- ports, for INS and OUTS ---- */

static int em_in(struct emul *e, u16 port, unsigned int size, void *buf, unsigned int count)
{
	struct vp_io *io = ((struct vp *)e->ctx)->io;

	if (!io->ports || size * count > sizeof(io->data))
		return -EIO;
	if (io->ready && io->port == port && io->size == size && io->count == count) {
		memcpy(buf, io->data, size * count);
		return 0;
	}
	io->ready = false;
	io->port = port;
	io->size = size;
	io->count = count;
	io->state = VP_IO_STRING_IN;
	return -EAGAIN;
}

static int em_out(struct emul *e, u16 port, unsigned int size, const void *buf, unsigned int count)
{
	struct vp_io *io = ((struct vp *)e->ctx)->io;

	if (!io->ports || size * count > sizeof(io->data))
		return -EIO;
	io->port = port;
	io->size = size;
	io->count = count;
	memcpy(io->data, buf, size * count);
	io->string_out = true;
	return 0;
}

/* ---- exits to the root ---- */

static int io_exit(struct vp *vp, bool in, const void *data)
{
	struct plinth_vp_shared_run *run = &vp->shared->run;
	struct vp_io *io = vp->io;

	run->io.port = io->port;
	run->io.size = io->size;
	run->io.in = in;
	run->io.count = io->count;
	if (!in)
		memcpy(run->io.data, data, io->size * io->count);
	return PLINTH_EXIT_IO;
}

static int mmio_exit(struct vp *vp, u64 gpa, u32 len, bool write, const void *data)
{
	struct plinth_vp_shared_run *run = &vp->shared->run;

	run->mmio.gpa = gpa;
	run->mmio.size = len;
	run->mmio.write = write;
	memset(run->mmio.data, 0, sizeof(run->mmio.data));
	if (write)
		memcpy(run->mmio.data, data, len);
	return PLINTH_EXIT_MMIO;
}

static int fault_exit(struct vp *vp, u64 gpa, bool write, bool exec, bool user)
{
	struct plinth_vp_shared_run *run = &vp->shared->run;

	run->fault.gpa = gpa;
	run->fault.write = write;
	run->fault.exec = exec;
	run->fault.user = user;
	return PLINTH_EXIT_MEM_FAULT;
}

/* The next piece of a write that the root has to take, 8 bytes at most; VP_AGAIN when all are done. */
static int mmio_next_write(struct vp *vp)
{
	struct vp_io *io = vp->io;
	u32 i, at = io->written, n;

	for (i = 0; i < io->nwrites; i++) {
		if (at < io->writes[i].len) {
			n = MIN(io->writes[i].len - at, 8);
			io->state = VP_IO_MMIO_WRITE;
			io->written += n;
			return mmio_exit(vp, io->writes[i].gpa + at, n, true,
					 io->write_data + io->written - n);
		}
		at -= io->writes[i].len;
	}
	io->state = VP_IO_NONE;
	io->nwrites = 0;
	return VP_AGAIN;
}

/* ---- one instruction ---- */

static void em_begin(struct vp *vp, struct emul *e, bool ports)
{
	struct vp_io *io = vp->io;

	memset(e, 0, sizeof(*e));
	memcpy(e->gpr, vp->gprs.r, sizeof(e->gpr));
	e->rip = vp->rip;
	e->rflags = vp->rflags;
	vp_vendor_emul(vp, e);
	e->read = em_read;
	e->write = em_write;
	e->cmpxchg = em_cmpxchg;
	if (ports) {
		e->in = em_in;
		e->out = em_out;
		e->io_buf = io->batch;
		e->io_size = sizeof(io->batch);
	}
	e->ctx = vp;
	io->state = VP_IO_NONE;
	io->ports = ports;
	io->missing = io->retry = io->string_out = false;
	io->replay = io->nwrites = io->written = 0;
}

static void em_forget(struct vp_io *io)
{
	io->state = VP_IO_NONE;
	io->nreads = 0;
	io->ready = false;
}

/* Run the emulator, with the vector registers at hand if the instruction needs them. */
static int em_run(struct vp *vp, struct emul *e, const struct insn *insn)
{
	int ret;

	if (insn->op != INSN_MOV_VEC && insn->op != INSN_MOV_VEC_ALIGNED)
		return emul_run(e, insn);
	vp_fpu_save_live(vp);
	e->fxsave = mm_va(vp->fpu_pa);
	ret = emul_run(e, insn);
	if (ret == EMUL_DONE)
		*(u64 *)(e->fxsave + XSAVE_BV_OFFSET) |= XSAVE_BV_SSE;
	vp_fpu_load_live(vp);
	return ret;
}

/* The emulator has finished an instruction or an iteration: make it the guest's. */
static int em_commit(struct vp *vp, struct emul *e, bool done)
{
	struct vp_io *io = vp->io;

	memcpy(vp->gprs.r, e->gpr, sizeof(e->gpr));
	vp->rflags = e->rflags;
	em_forget(io);
	if (done) {
		vp->next_rip = e->rip;
		vp_skip(vp);
	} else {
		vp_step(vp);
	}
	if (io->string_out)
		return io_exit(vp, false, io->data);
	return mmio_next_write(vp);
}

static int em_unhandled(struct vp *vp)
{
	struct vp_io *io = vp->io;

	if (io->retry) {
		em_forget(io);
		return VP_AGAIN;
	}
	if (io->missing) {
		io->state = VP_IO_EMULATE;
		return fault_exit(vp, io->missing_gpa, io->missing_write, io->missing_exec, false);
	}
	em_forget(io);
	return vp_internal_error(vp, VP_ERROR_EMULATION, 0, NULL);
}

static int em_result(struct vp *vp, struct emul *e, int ret)
{
	struct vp_io *io = vp->io;

	switch (ret) {
	case EMUL_DONE:
	case EMUL_AGAIN:
		return em_commit(vp, e, ret == EMUL_DONE);
	case EMUL_MMIO:
		if (io->state == VP_IO_STRING_IN)
			return io_exit(vp, true, NULL);
		return mmio_exit(vp, io->reads[io->nreads].gpa, io->reads[io->nreads].len, false,
				 NULL);
	case EMUL_FAULT:
		em_forget(io);
		if (e->fault.vector == 14)
			vp_page_fault(vp, e->fault.cr2, e->fault.error);
		else
			vp_exception(vp, e->fault.vector, e->fault.has_error, e->fault.error);
		return VP_AGAIN;
	default:
		return em_unhandled(vp);
	}
}

static int vp_emulate(struct vp *vp, bool ports)
{
	struct insn insn;
	struct emul e;
	int ret;

	em_begin(vp, &e, ports);
	ret = emul_fetch(&e, &insn);
	if (ret == EMUL_DONE) {
		/*
		 * The permission to do I/O was checked by the processor for the INS or OUTS that it saw;
		 * if another processor of the guest has changed the code since, look again.
		 */
		if (ports && insn.op != INSN_INS && insn.op != INSN_OUTS) {
			em_forget(vp->io);
			return VP_AGAIN;
		}
		ret = em_run(vp, &e, &insn);
	}
	return em_result(vp, &e, ret);
}

/* ---- the length of an instruction that exited ---- */

u32 vp_fetch_cached(struct vp *vp, u8 *buf, u32 len)
{
	u64 linear = vp_vendor_cs_base(vp) + vp->rip;
	const struct vp_fetch *f = &vp->fetch;
	u32 at = linear & (PAGE_SIZE - 1);

	if (f->page != linear >> PAGE_SHIFT || f->cr3 != vp_vendor_cr3(vp) ||
	    f->cr0 != (vp_vendor_cr0(vp) & CR0_PG) || !f->bytes)
		return 0;
	len = MIN(len, PAGE_SIZE - at);
	spin_lock(&vp->vm->lock);
	if (f->map_gen == vp->vm->map_gen)
		memcpy(buf, f->bytes + at, len);
	else
		len = 0;
	spin_unlock(&vp->vm->lock);
	return len;
}

int vp_fetch_insn(struct vp *vp, struct insn *insn, bool *ok)
{
	struct emul e;
	int ret;

	em_begin(vp, &e, false);
	ret = emul_fetch(&e, insn);
	*ok = ret == EMUL_DONE;
	if (*ok)
		return VP_AGAIN;
	ret = em_result(vp, &e, ret);
	/* Nothing was emulated yet: once the root has mapped the code the guest exits again. */
	vp->io->state = VP_IO_NONE;
	return ret;
}

/* ---- exits ---- */

int vp_exit_io(struct vp *vp, u16 port, u8 size, bool in, bool string)
{
	struct vp_io *io = vp->io;

	if (string)
		return vp_emulate(vp, true);
	io->port = port;
	io->size = size;
	io->count = 1;
	if (in) {
		io->state = VP_IO_IN;
		io->rip = vp->rip;
		io->next_rip = vp->next_rip;
		return io_exit(vp, true, NULL);
	}
	vp_skip(vp);
	return io_exit(vp, false, &vp->gprs.r[RAX]);
}

static void finish_in(struct vp *vp)
{
	struct vp_io *io = vp->io;
	u64 *rax = &vp->gprs.r[RAX];
	u32 val;

	io->state = VP_IO_NONE;
	if (vp->rip != io->rip)
		return; /* the root has set another one */
	memcpy(&val, vp->shared->run.io.data, sizeof(val));
	switch (io->size) {
	case 1:
		*rax = (*rax & ~0xffull) | (u8)val;
		break;
	case 2:
		*rax = (*rax & ~0xffffull) | (u16)val;
		break;
	default:
		*rax = val;
	}
	vp->next_rip = io->next_rip;
	vp_skip(vp);
}

int vp_io_complete(struct vp *vp)
{
	const struct plinth_vp_shared_run *run = &vp->shared->run;
	struct vp_io *io = vp->io;

	switch (io->state) {
	case VP_IO_NONE:
		return VP_AGAIN;
	case VP_IO_IN:
		finish_in(vp);
		return VP_AGAIN;
	case VP_IO_STRING_IN:
		memcpy(io->data, run->io.data, io->size * io->count);
		io->ready = true;
		return vp_emulate(vp, true);
	case VP_IO_MMIO_READ:
		memcpy(io->reads[io->nreads++].data, run->mmio.data, 8);
		return vp_emulate(vp, io->ports);
	case VP_IO_MMIO_WRITE:
		return mmio_next_write(vp);
	default:
		return vp_emulate(vp, io->ports);
	}
}

void vp_io_cancel(struct vp *vp)
{
	em_forget(vp->io);
}

/* ---- nested page faults ---- */

/* The register operand of a plain MOV that the quick way below handles. */
static bool quick_mov(const struct insn *insn, bool write)
{
	if (insn->op != INSN_MOV || insn->opsize != 4 || !(insn->flags & INSN_MEM))
		return false;
	switch (insn->form) {
	case INSN_FORM_RM_R:
	case INSN_FORM_RM_I:
	case INSN_FORM_MOFFS_A:
		return write;
	case INSN_FORM_R_RM:
	case INSN_FORM_A_MOFFS:
		return !write;
	}
	return false;
}

/*
 * The APIC page, by the instruction that nearly all kernels use for it: a 32-bit MOV. The processor has
 * checked and translated the operand already, so that no second page walk is needed. false: not such.
 */
static bool quick_apic(struct vp *vp, u64 gpa, bool write)
{
	u32 off = gpa & (PAGE_SIZE - 1), val;
	struct insn insn;
	u8 bytes[INSN_MAX_LEN];
	u32 n, reg;

	n = vp_fetch_cached(vp, bytes, sizeof(bytes));
	if (!n || off & 3 || insn_decode(&insn, bytes, n, vp_vendor_mode(vp)) <= 0 ||
	    !quick_mov(&insn, write))
		return false;
	reg = insn.form == INSN_FORM_A_MOFFS || insn.form == INSN_FORM_MOFFS_A ? RAX : insn.reg;
	if (write) {
		val = insn.form == INSN_FORM_RM_I ? insn.imm : vp->gprs.r[reg];
		vp_lapic_mmio_write(vp, off, 4, val);
	} else {
		vp->gprs.r[reg] = lapic_mmio_read(&vp->lapic, off, 4, rdtsc());
	}
	vp->next_rip = insn_next_rip(&insn, vp->rip);
	vp_skip(vp);
	return true;
}

static bool event_interrupted(const struct vp *vp)
{
	return vp->exc.injected || vp->intr.injected || vp->nmi_injected;
}

/* May the nested tables be walked for code there? */
static bool npf_no_exec(struct vp *vp, u64 gpa)
{
	unsigned int shift;
	bool nx;
	u64 pte;

	spin_lock(&vp->vm->lock);
	nx = !pt_lookup(&vp->vm->npt, gpa, &pte, &shift) && (pte & PTE_NX);
	spin_unlock(&vp->vm->lock);
	return nx;
}

int vp_exit_npf(struct vp *vp, u64 gpa, bool write, bool exec, bool user, bool final)
{
	bool apic = apic_hit(vp, gpa);
	enum vm_mem kind;
	u64 hpa;

	vp->stats.kinds[apic ? PLINTH_KIND_APIC : PLINTH_KIND_NPF]++;
	spin_lock(&vp->vm->lock);
	kind = vm_mem(vp->vm, gpa, write, &hpa);
	spin_unlock(&vp->vm->lock);
	if (kind == VM_MEM_RAM || kind == VM_MEM_DEVICE) {
		if (!exec || !npf_no_exec(vp, gpa))
			return VP_AGAIN; /* mapped in the meantime */
	} else if (kind == VM_MEM_MISSING && !apic) {
		return fault_exit(vp, gpa, write, exec, user);
	}
	if (event_interrupted(vp)) {
		const u64 data[] = { vp->exc.vector, gpa };

		return vp_internal_error(vp, VP_ERROR_DELIVERY, ARRAY_SIZE(data), data);
	}
	if (!final || exec) { /* page tables or code that are no memory */
		vp->io->insn_len = 0;
		return vp_internal_error(vp, VP_ERROR_EMULATION, 0, NULL);
	}
	if (apic && quick_apic(vp, gpa, write))
		return VP_AGAIN;
	return vp_emulate(vp, false);
}
