"""The connection form of Airflow below 3.2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# 3.2: the connection form is read from the provider's metadata. Before, from the hook.


def form_widgets(fields: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the fields of a connection form as WTForms widgets, which Airflow below 3.2 wants.

    It takes four classes of them only: no dropdowns.
    """
    from flask_appbuilder.fieldwidgets import BS3PasswordFieldWidget, BS3TextFieldWidget
    from wtforms import BooleanField, IntegerField, PasswordField, StringField
    from wtforms.validators import Optional, any_of

    def widget(field: dict[str, Any]) -> Any:
        schema, label, description = field["schema"], field["label"], field["description"]
        validators = [Optional()]
        if schema.get("format") == "password":
            return PasswordField(
                label, widget=BS3PasswordFieldWidget(), description=description, validators=validators
            )
        if schema["type"][0] == "boolean":
            return BooleanField(label, description=description)
        if schema["type"][0] == "integer":
            return IntegerField(
                label, widget=BS3TextFieldWidget(), description=description, validators=validators
            )
        choices = [choice for choice in schema.get("enum", ()) if choice is not None]
        if choices:
            validators.append(any_of(choices))
            description = f"{description} One of: {', '.join(choices)}."
        return StringField(label, widget=BS3TextFieldWidget(), description=description, validators=validators)

    return {name: widget(field) for name, field in fields.items()}
