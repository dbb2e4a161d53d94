(function_declaration name: (identifier) @definition.function)
(generator_function_declaration name: (identifier) @definition.function)
(class_declaration name: (_) @definition.class)
(method_definition name: (property_identifier) @definition.method)
(program (lexical_declaration (variable_declarator name: (identifier) @definition.variable)))
(program (variable_declaration (variable_declarator name: (identifier) @definition.variable)))
(export_statement (lexical_declaration
  (variable_declarator name: (identifier) @definition.variable)))
(assignment_expression
  left: (member_expression property: (property_identifier) @definition.function)
  right: [(function_expression) (arrow_function)])

(import_statement source: (string) @import)
(export_statement source: (string) @import)
(call_expression function: (import) arguments: (arguments . (string) @import))
(call_expression function: (identifier) @_require arguments: (arguments . (string) @import)
  (#eq? @_require "require"))

(call_expression function: (identifier) @use)
(new_expression constructor: (identifier) @use)
(call_expression function: (member_expression property: (property_identifier) @use.member))
(interface_declaration name: (type_identifier) @definition.interface)
(type_alias_declaration name: (type_identifier) @definition.type)
(enum_declaration name: (identifier) @definition.enum)
(abstract_class_declaration name: (type_identifier) @definition.class)
(function_signature name: (identifier) @definition.function)
(import_require_clause source: (string) @import)
(type_identifier) @use
(extends_clause value: (identifier) @use)
