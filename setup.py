"""What pyproject.toml cannot say: no tests in a wheel, and nothing of an earlier one."""

import shutil

from setuptools import setup
from setuptools.command.build_py import build_py

TESTS = ("conftest", "runner", "tb_", "test_")  # of sim/, which holds what simulates beside them


class BuildPy(build_py):
    def run(self):
        if not self.editable_mode:  # what was removed since would still stand there
            shutil.rmtree(self.build_lib, ignore_errors=True)
        super().run()

    def find_package_modules(self, package, folder):
        return [module for module in super().find_package_modules(package, folder)
                if not module[1].startswith(TESTS)]


setup(cmdclass={"build_py": BuildPy})
