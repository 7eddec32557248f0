.PHONY: help demo test bench fuzz drills mutation serve deb wheel releases setup

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /    make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: setup ## the main job on real programs, in a private machine, in a minute
	@.venv/bin/python -m demo

test: setup ## format, lint, types and tests: what must pass before anything lands
	@scripts/test

bench: setup ## every figure that has a budget, into benchmarks/results.json
	@.venv/bin/python -m benchmarks.run

fuzz: setup ## break certificates at random until stopped, or for SECONDS=60
	@.venv/bin/python -m tests.fuzz $(SECONDS)

drills: setup ## what must not happen, tried thousands of times, or DRILL=NAME N=100; DRILL=--help lists them
	@.venv/bin/python -m tests.drills $(DRILL) $(N)

mutation: setup ## break the deciding modules line by line and see that the tests notice
	@.venv/bin/mutmut run && .venv/bin/mutmut results && .venv/bin/python -m tests.mutate_programs

serve: setup ## a development server with the data of examples/
	@.venv/bin/python -m demo.serve

deb: ## Debian's package of what runs on SSH hosts, into build/
	@python3 scripts/deb.py

wheel: setup ## the CA's and the engineers' commands for pip, into build/, with the lock of what they need
	@rm -rf build/lib build/amrgate-*.whl
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) .venv/bin/python -m pip wheel -q --no-deps \
		--no-build-isolation --no-cache-dir -w build .
	@cp requirements-ca.lock build/
	@ls build/amrgate-*.whl build/requirements-ca.lock

releases: setup ## the package's whole life on Debian 11, 12 and 13 under systemd, as root: a table
	@.venv/bin/python -m tests.releases $(RELEASE)

setup: ## what the others need: .venv, locked dependencies and, as root, Debian packages
	@scripts/setup
